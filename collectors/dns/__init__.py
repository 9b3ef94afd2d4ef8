"""DNS: records that mail depends on (`checks` has every check), blocklists, record history, requirement sheets."""

"""Words, events, ports and pure rules that every house shares.  Standard library only; no I/O."""

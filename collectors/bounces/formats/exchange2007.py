"""Exchange 2007 to 365 in any language: a friendly part, then "Diagnostic information for administrators".

The friendly part differs by language; the technical part does not: `address` alone, `#550 5.1.1 RESOLVER.… ##`.
"""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="exchange-2007",
    order=31,
    marks=(
        r"diagnostic information for administrators",
        r"informations? de diagnostic",
        r"diagnoseinformationen",
        r"generating server:",
        r"serveur de g[eé]n",
        r"diagnostische gegevens",
        r"информаци\w+ для администратор",
        r"generierender server",
        r"server di generazione",
    ),
    begin=r"(?:diagnostic information for administrators|informations? de diagnostic[^\n]*|"
    r"diagnoseinformationen[^\n]*|диагностик\w+[^\n]*):",
    item=rf"^[ \t]*[<\"']?(?P<address>{ADDRESS})[>\"']?[ \t]*(?P<reason>(?:#|remote server|"
    rf"[^\n]{{0,40}}#[<\d])[^\n]*)?$",
)

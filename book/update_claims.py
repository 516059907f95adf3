"""Write book/claims.json, the index of the published ledger's entries, anew."""

import json
import os
from pathlib import Path

from derive import claims


def main() -> None:
    """Derive everything that is published and write the names of all steps."""
    target = Path(__file__).with_name("claims.json")
    entries = claims.index(claims.published())
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(entries, indent=1) + "\n", "utf-8")
    os.replace(partial, target)
    print(f"{sum(map(len, entries.values()))} entries of {len(entries)} derivations: {target.name}")


if __name__ == "__main__":
    main()

"""--only KEY=VALUE: some of a file's unlearned models and attacks."""

import results as res

MOST_PANELS = 100  # of a picture with small ones; more take minutes, and nobody reads them


def argument(parser):
    parser.add_argument("--only", metavar="KEY=VALUE", action="append", default=[],
                        help="draw these alone: method=gd, model.size=nano, attack.kind=lora"
                             " ...; again for another key, or another value of one")


def parts(cell):
    """What a cell can be chosen by, with the names that a config has for it."""
    attack = {"attack." + key.replace("attack", "kind"): value
              for key, value in res.fields(cell.attack_setting).items()}
    unlearn = {f"unlearn.{key}": value for key, value in cell.unlearning.items()}
    return {**res.fields(cell.ground), **unlearn, **attack}


def values(cells, key):
    return list(dict.fromkeys(part[key] for part in map(parts, cells) if key in part))


def key_of(cells, name):
    """The one key that is called so, or whose last word is; rather one that varies."""
    all_parts = [parts(cell) for cell in cells]
    if name == "attack":  # as the labels of sections have it
        name = "attack.kind"
    found = [key for key in dict.fromkeys(key for part in all_parts for key in part)
             if f".{key}".endswith(f".{name}")]
    differ = res.varying(all_parts)
    if len(found) > 1:
        found = [key for key in found if key in differ] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise res.ResultsError(f"--only {name}=...: {' or '.join(found)}?")
    raise res.ResultsError(f"--only {name}=...: no such key; "
                           + (f"these vary: {' '.join(differ)}" if differ else "none varies"))


def narrow(cells, only):
    """Those that have one of the values asked for, of every key asked for."""
    asked = {}
    for text in only:
        name, equals, value = text.partition("=")
        if not equals:
            raise res.ResultsError(f"--only {text}: expected KEY=VALUE")
        asked.setdefault(key_of(cells, name), []).append(value)
    for key, wanted in asked.items():
        there = values(cells, key)
        for value in wanted:
            if value not in there:
                there = [f"{key}={value}" for value in there] or ["none"]
                raise res.ResultsError(f"--only {key}={value}: no such value; there are "
                                       + " ".join(there))
        cells = [cell for cell in cells if parts(cell).get(key) in wanted]
    return cells


def require_few(panels, cells, most=MOST_PANELS, by=()):
    """Refuse a picture of too many panels, and say how to choose; by: keys of unlearning that
    make panels."""
    if panels <= most:
        return
    keys = [key for key in res.varying([parts(cell) for cell in cells])
            if key in by or not key.startswith("unlearn.")]
    counts = {key: len(values(cells, key)) for key in keys}
    key = max(keys, key=counts.get)
    raise res.ResultsError(
        f"{panels} panels, more than {most}: choose some with --only KEY=VALUE, as "
        f"--only {key}={values(cells, key)[0]}; these vary: "
        + ", ".join(f"{key} ({count} values)" for key, count in counts.items()))

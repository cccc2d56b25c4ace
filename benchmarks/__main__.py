"""Run benchmarks and print their tables; with --write, write them to docs/benchmarks.md."""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import platform
from pathlib import Path

from joblib import cpu_count

NAMES = (
    "images",
    "extraction",
    "one_row",
    "memory",
    "tensorflow",
    "text_training",
    "pair_training",
    "text_scoring",
    "text_costs",
    "text_quality",
    "entities",
    "answers",
    "long_texts",
    "export_speed",
    "export_weights",
    "vision",
    "vision_quality",
    "search",
    "detection",
    "distributed",
    "import_time",
)
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
VERSIONS = (
    "numpy",
    "scikit-learn",
    "pillow",
    "onnxruntime",
    "tensorflow",
    "torch",
    "transformers",
    "sentence-transformers",
)
HEAD = (
    "| what | against | times as fast (90 % interval) | ms each | bar | `python -m benchmarks` |",
    "|---|---|---|---|---|---|",
)


def line(name, row):
    if "text" in row:
        return f"| {row['what']} | {row['rival']} | {row['text']} | | | `{name}` |"
    bar, met = row["bar"], ""
    if bar is not None:
        # a bar is missed only when the whole interval is below it
        met = f">= {bar} {'met' if row['high'] >= bar else 'MISSED'}"
    ratio = f"{row['median']:.2f} x [{row['low']:.2f}, {row['high']:.2f}]"
    return f"| {row['what']} | {row['rival']} | {ratio} | {row['ms_each']:.2f} | {met} | `{name}` |"


def processor():
    """The architecture and the name of the CPU, and its instructions for bfloat16."""
    facts = [platform.machine()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        lines = {key.strip(): value for key, value in lines.items()}
        facts.append(lines.get("model name", "").strip())
        facts += sorted({"avx512_bf16", "amx_bf16"} & set(lines.get("flags", "").split()))
    return ", ".join(fact for fact in facts if fact)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="name", help=str(NAMES))
    parser.add_argument("--quick", action="store_true", help="small sizes, as a test")
    parser.add_argument("--write", action="store_true", help=f"write to {DOCS.name}")
    arguments = parser.parse_args()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    made = (
        f"{datetime.date.today()}, {cpu_count()} cores ({processor()}), Python "
        f"{platform.python_version()}, {versions}"
    )
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    skipped: list[str] = []
    for name in arguments.names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        # speeds with and without bfloat16 are in separate tables
        part = f"{name} in {module.PRECISION}" if hasattr(module, "PRECISION") else name
        try:
            rows = module.run(arguments.quick)
        except FileNotFoundError as error:
            print(f"{part}: {error}\n", flush=True)
            skipped.append(part)
            continue
        (folder / f"{part.replace(' ', '_')}.json").write_text(
            json.dumps({"made": made, "rows": rows}, indent=1)
        )
        table = "\n".join([*HEAD, *(line(name, row) for row in rows)])
        print(f"{part}\n{table}\n", flush=True)
        if arguments.write:
            DOCS.write_text(renewed(DOCS.read_text(), part, f"{made}.\n\n{table}"))
    if skipped:
        raise SystemExit(f"These benchmarks were skipped for missing files: {', '.join(skipped)}.")


def renewed(page, name, table):
    """Replace the table of a benchmark between its marks, or append it with marks to the page."""
    before, mark, rest = page.partition(f"<!-- {name} -->\n")
    # the marks may have nothing between them yet
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not end:
        return f"{page}\n<!-- {name} -->\n{table}\n<!-- end of {name} -->\n"
    return f"{before}{mark}{table}\n{end}{after}"


if __name__ == "__main__":
    main()

"""The table of README.md: which question which panel answers, from which metrics."""

import re

START, END = "<!-- written by dashboards/make -->", "<!-- up to here -->"
# Words of PromQL and LogQL that are no metrics, where they stand without a parenthesis behind them.
WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "on",
    "ignoring",
    "without",
    "offset",
    "bool",
    "group_left",
    "group_right",
    "ignoring",
}


def with_table(text, dashboards):
    before, rest = text.split(START)
    _, after = rest.split(END)
    return before + START + "\n\n" + "\n".join(table(dashboards)) + "\n" + END + after


def table(dashboards):
    for dashboard in dashboards:
        yield f"### {dashboard.title}\n"
        yield f"`{dashboard.uid}` in `{dashboard.file}.json`: {dashboard.asks}\n"
        yield "| question | panel | from |"
        yield "|---|---|---|"
        for panel in dashboard.panels():
            yield f"| {panel.asks} | {panel.title} | {', '.join(f'`{name}`' for name in origins(panel))} |"
        yield ""


def origins(panel):
    """The names of all metrics of a panel, in the order in which it asks; or the streams of logs, or spans."""
    found = []
    for target in panel.targets:
        kind = target["datasource"]["type"]
        names = metrics_in(target["expr"]) if kind == "prometheus" else [target.get("expr") or target["query"]]
        found += [name.replace("|", "\\|") for name in names if name.replace("|", "\\|") not in found]
    return found


def metrics_in(expr):
    bare = re.sub(r'"[^"]*"', "", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|ignoring|without|group_left|group_right) *\([^)]*\)", "", bare)
    names = re.findall(r"(?<![\w:.$])[a-zA-Z_:][\w:]*(?! *\()\b(?! *\()", bare)
    aggregations = {"sum", "max", "min", "avg", "count", "topk", "group"}
    return [name for name in dict.fromkeys(names) if name not in WORDS and name not in aggregations]

"""What Grafana calls dashboards, panels and queries, with what all of ours have in common: one palette, units, words for
states, a description that says what a panel answers and what to do, and where a click leads."""

import json
import urllib.parse
from dataclasses import dataclass, field

# That of Grafana 10.4 and 11.0: what is newer migrates it by itself.
SCHEMA_VERSION = 39
# Where people reach the monitor's own pages from their browsers.
MONITOR_URL = "http://127.0.0.1:8888"
# And those of dlq-processor.
DLQ_URL = "http://127.0.0.1:8091"
TAG = "suite"
WIDTH = 24
# Longest line of JSON that is not one text.
LINE = 120

# Requests of people, as in alerts/rules/services.yml: scrapes and gates are none.
PEOPLE = 'endpoint!~"/metrics|/api/v1/gate.*"'

GREEN, YELLOW, ORANGE, RED, DARK_RED = "green", "yellow", "orange", "red", "dark-red"
BLUE, PURPLE, GREY = "blue", "purple", "#808080"

METRICS = {"type": "prometheus", "uid": "${metrics}"}
LOGS = {"type": "loki", "uid": "${logs}"}
TRACES = {"type": "tempo", "uid": "${traces}"}


@dataclass
class Panel:
    """A panel: its title, the question that it answers, what to do then, and what Grafana wants to know of it."""

    title: str
    asks: str
    act: str
    kind: str
    targets: list
    defaults: dict
    options: dict
    overrides: list = field(default_factory=list)
    transformations: list = field(default_factory=list)
    links: list = field(default_factory=list)


@dataclass
class Dashboard:
    """A dashboard: rows of panels, each row its height and its panels with their widths, 24 in all."""

    file: str
    title: str
    asks: str
    rows: list
    variables: list = field(default_factory=list)
    sources: tuple = ("metrics",)
    refresh: str = "30s"
    since: str = "now-3h"
    annotations: list = field(default_factory=list)

    @property
    def uid(self):
        return f"{TAG}-{self.file}"

    def panels(self):
        return [panel for _, row in self.rows for _, panel in row]


# States, from good to bad: how a state is called in metrics, its number in charts, how people call it, its colour.
VERDICTS = [
    ("up", 1, "up", GREEN),
    ("completed", 2, "completed", BLUE),
    ("stopped", 3, "stopped by a person", GREY),
    ("gone", 4, "gone", GREY),
    ("unknown", 5, "unknown", PURPLE),
    ("stale", 6, "stale", PURPLE),
    ("starting", 7, "starting", BLUE),
    ("degraded", 8, "degraded", YELLOW),
    ("down", 9, "DOWN", RED),
    ("crash_looping", 10, "CRASH LOOP", DARK_RED),
    ("gave_up", 11, "GAVE UP", DARK_RED),
]
HEALTHS = [
    ("up", 1, "up", GREEN),
    ("degraded", 2, "degraded", YELLOW),
    ("down", 3, "DOWN", RED),
    ("stale", 4, "stale", PURPLE),
    ("unknown", 5, "unknown", PURPLE),
]
OVERALL = [
    ("up", 1, "Everything works", GREEN),
    ("degraded", 2, "Works, with limits", YELLOW),
    ("down", 3, "Something is DOWN", RED),
    ("unknown", 4, "Not known", PURPLE),
]


def coded(metric, label, states, by=""):
    """One number for each series of a metric that is 1 for the state that holds."""
    opening, matchers = metric.removesuffix("}").partition("{")[::2]
    each = " or ".join(f'{number} * {opening}{{{matchers},{label}="{word}"}}' for word, number, *_ in states)
    return f"sum {f'by ({by}) ' if by else ''}({each})"


def counted(those, known_by):
    """How many there are of what was counted; none only while what it is known by has an answer, else nothing: not known."""
    return f"{those} > 0 or 0 * count({known_by})"


def said(states, by_word=False):
    """Mappings from states to words with their colours."""
    options = {
        (word if by_word else str(number)): {"text": text, "color": colour, "index": index}
        for index, (word, number, text, colour) in enumerate(states)
    }
    return [{"type": "value", "options": options}]


def words(*pairs):
    """Mappings from numbers to words: `(0, "fails", RED)`."""
    options = {
        str(number): {"text": text, "color": colour, "index": index}
        for index, (number, text, colour) in enumerate(pairs)
    }
    return [{"type": "value", "options": options}]


def limits(*steps):
    """Thresholds: a colour, then `(from, colour)` for each step up."""
    first, *rest = steps
    return {
        "mode": "absolute",
        "steps": [{"color": first, "value": None}] + [{"color": c, "value": v} for v, c in rest],
    }


def ask(expr, legend=None, *, table=False, exemplars=False):
    """A question to Prometheus: over the time shown, but in a table for now."""
    target = {"datasource": METRICS, "editorMode": "code", "expr": expr}
    if table:
        return target | {"format": "table"} | NOW["prometheus"]
    target |= {"legendFormat": legend, "instant": False, "range": True}
    return target | ({"exemplar": True} if exemplars else {})


def ask_logs(expr, legend=None):
    """A question to Loki, over the time shown."""
    target = {"datasource": LOGS, "editorMode": "code", "expr": expr, "queryType": "range"}
    return target | ({"legendFormat": legend} if legend else {"maxLines": 500})


# What makes a question one about now. A range has an old answer for as long as it is shown, also of what is gone.
NOW = {"prometheus": {"instant": True, "range": False}, "loki": {"queryType": "instant"}}


def for_now(targets):
    return [target | NOW[target["datasource"]["type"]] for target in targets]


def ask_traces(query, limit=20):
    """A question to Tempo."""
    return {
        "datasource": TRACES,
        "filters": [],
        "limit": limit,
        "query": query,
        "queryType": "traceql",
        "tableType": "traces",
    }


def defaults(unit, *, decimals=None, mappings=None, steps=None, none="no data", links=None, **more):
    found = {"color": {"mode": "thresholds"}, "unit": unit, "noValue": none, "thresholds": steps or limits(GREEN)}
    if decimals is not None:
        found["decimals"] = decimals
    if mappings:
        found["mappings"] = mappings
    if links:
        found["links"] = links
    return found | more


def stat(title, asks, act, targets, unit="short", *, area=False, names=None, **more):
    """A word or a number, on its colour: that of now, unless there is a graph behind it."""
    targets = one(targets) if area else for_now(one(targets))
    names = len(targets) > 1 if names is None else names
    if unit == "short":
        more.setdefault("decimals", 0)
    found = defaults(unit, **more)
    # What is not known must not have the colour of what is well.
    unknown = {"match": "null+nan", "result": {"text": found["noValue"], "color": GREY, "index": 99}}
    found["mappings"] = found.get("mappings", []) + [{"type": "special", "options": unknown}]
    options = {
        "colorMode": "background",
        "graphMode": "area" if area else "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "value_and_name" if names else "value",
        "wideLayout": True,
    }
    return Panel(title, asks, act, "stat", targets, found, options)


def bars(title, asks, act, targets, unit, *, top=None, **more):
    """A bar for each series, as it is now."""
    options = {
        "displayMode": "basic",
        "maxVizHeight": 300,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "auto",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    ends = {"min": 0} | ({"max": top} if top is not None else {})
    return Panel(title, asks, act, "bargauge", for_now(one(targets)), defaults(unit, **more) | ends, options)


def chart(
    title,
    asks,
    act,
    targets,
    unit,
    *,
    stacked=False,
    columns=False,
    colours=None,
    limit=None,
    least=0,
    top=None,
    steps=None,
    links=None,
    **more,
):
    """Lines over time, or columns of what happened; `limit` draws the line beyond which somebody is told."""
    custom = {
        "axisLabel": "",
        "axisPlacement": "auto",
        "drawStyle": "bars" if columns else "line",
        "fillOpacity": 80 if columns else 60 if stacked else 10,
        "lineWidth": 0 if columns else 1 if stacked else 2,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked or columns else "none"},
        "thresholdsStyle": {"mode": "dashed" if limit is not None else "off"},
    }
    steps = limits(GREEN, (limit, RED)) if limit is not None else steps
    found = defaults(unit, steps=steps, links=links, **more) | {"color": {"mode": "palette-classic"}, "custom": custom}
    found |= {"min": least} if least is not None else {}
    found |= {"max": top} if top is not None else {}
    options = {
        "legend": {"calcs": ["max", "lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(title, asks, act, "timeseries", one(targets), found, options, coloured(colours or {}))


def timeline(title, asks, act, targets, mappings, **more):
    """States over time, a row for each series."""
    options = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    found = defaults("short", mappings=mappings, **more) | {"custom": {"fillOpacity": 85, "lineWidth": 0}}
    return Panel(title, asks, act, "state-timeline", one(targets), found, options)


def table(title, asks, act, targets, columns, *, sort=None, none="none", **more):
    """A row for each series: labels and values. `columns` are `(name in Grafana, heading, how it looks)`, in order."""
    targets = one(targets)
    shown = {name: heading for name, heading, _ in columns}
    transformations = [{"id": "merge", "options": {}}] if len(targets) > 1 else []
    transformations += [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(shown)}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate(shown)},
                "renameByName": shown,
            },
        },
    ]
    options = {
        "cellHeight": "sm",
        "footer": {"countRows": False, "reducer": ["sum"], "show": False},
        "frameIndex": 0,
        "showHeader": True,
        "sortBy": [{"displayName": sort[0], "desc": sort[1]}] if sort else [],
    }
    found = defaults("short", none=none, **more) | {
        "custom": {"align": "left", "cellOptions": {"type": "auto"}, "inspect": False}
    }
    overrides = [look(heading, properties) for _, heading, properties in columns if properties]
    return Panel(title, asks, act, "table", targets, found, options, overrides, transformations)


def log_lines(title, asks, act, expr):
    """Lines of logs, newest first."""
    options = {
        "dedupStrategy": "none",
        "enableLogDetails": True,
        "prettifyLogMessage": False,
        "showCommonLabels": False,
        "showLabels": False,
        "showLogContextToggle": True,
        "showTime": True,
        "sortOrder": "Descending",
        "wrapLogMessage": True,
    }
    return Panel(title, asks, act, "logs", one(ask_logs(expr)), {"noValue": "no lines"}, options)


def filled(mappings=None, steps=None, **more):
    """How a cell of a table looks that is filled with its colour."""
    found = {"custom.cellOptions": {"type": "color-background", "mode": "basic"}}
    found |= {"mappings": mappings} if mappings else {}
    found |= {"color": {"mode": "thresholds"}, "thresholds": steps} if steps else {}
    return found | more


def look(name, properties):
    """How the series or the column of a name looks, where it differs from the others."""
    listed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": listed}


def coloured(colours):
    return [look(name, {"color": {"mode": "fixed", "fixedColor": colour}}) for name, colour in colours.items()]


def one(targets):
    targets = targets if isinstance(targets, list) else [targets]
    return [target | {"refId": chr(ord("A") + index)} for index, target in enumerate(targets)]


def link(title, url, new=False):
    return {"title": title, "url": url, "targetBlank": new}


def to(dashboard, title, **variables):
    """A link to a dashboard of ours, over the same time."""
    given = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return link(title, f"/d/{TAG}-{dashboard}?${{__url_time_range}}{given}")


def to_monitor(title, path):
    """A link to the monitor's own page."""
    return link(title, MONITOR_URL + path, new=True)


def to_letters(title, path):
    """A link to dlq-processor's own page."""
    return link(title, DLQ_URL + path, new=True)


def to_traces(title, query):
    """A link to what Tempo has of this, over the same time."""
    asked = {"refId": "A", "datasource": TRACES, "queryType": "traceql", "query": query, "limit": 20}
    panes = {"a": {"datasource": "${traces}", "queries": [asked], "range": {"from": "${__from}", "to": "${__to}"}}}
    text = urllib.parse.quote(json.dumps(panes, separators=(",", ":")), safe="${}_")
    return link(title, f"/explore?schemaVersion=1&orgId=1&panes={text}")


def to_logs(title, query):
    """A link to what Loki has of this, over the same time."""
    asked = {"refId": "A", "datasource": LOGS, "queryType": "range", "expr": query}
    panes = {"a": {"datasource": "${logs}", "queries": [asked], "range": {"from": "${__from}", "to": "${__to}"}}}
    text = urllib.parse.quote(json.dumps(panes, separators=(",", ":")), safe="${}_")
    return link(title, f"/explore?schemaVersion=1&orgId=1&panes={text}")


def of_label(name, label, query, first):
    """A variable whose values are those of a label."""
    return {
        "current": {"selected": False, "text": first, "value": first},
        "datasource": METRICS,
        "definition": f"label_values({query}, {label})",
        "hide": 0,
        "includeAll": False,
        "label": name.capitalize(),
        "multi": False,
        "name": name,
        "options": [],
        "query": {"query": f"label_values({query}, {label})", "refId": "StandardVariableQuery"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }


def of_choice(name, label, choices, first):
    """A variable with values of its own: `(text, value)`."""
    option = lambda text, value: {"selected": value == first, "text": text, "value": value}
    options = [option(text, value) for text, value in choices]
    return {
        "current": next(option for option in options if option["selected"]),
        "hide": 0,
        "includeAll": False,
        "label": label,
        "multi": False,
        "name": name,
        "options": options,
        "query": ",".join(f"{text} : {value}" for text, value in choices),
        "skipUrlSync": False,
        "type": "custom",
    }


def of_text(name, label, first=""):
    """A variable that people write."""
    current = {"selected": True, "text": first, "value": first}
    return {
        "current": current,
        "hide": 0,
        "label": label,
        "name": name,
        "options": [current],
        "query": first,
        "skipUrlSync": False,
        "type": "textbox",
    }


def of_source(name, kind):
    return {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": name.capitalize(),
        "multi": False,
        "name": name,
        "options": [],
        "query": kind,
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }


def marks(name, colour, expr, title, text, tags, at_value=False):
    """Marks over all charts: where an expression holds, or at the times in milliseconds that it says."""
    found = {
        "datasource": METRICS,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "step": "15s",
        "tagKeys": tags,
        "textFormat": text,
        "titleFormat": title,
    }
    return found | ({"useValueForTime": True} if at_value else {})


BAD = "down|crash_looping|gave_up"
OUTAGES = marks(
    "Outages",
    RED,
    f'monitor_service_verdict{{job="monitor",verdict=~"{BAD}"}} == 1',
    "{{service}}: {{verdict}}",
    "The monitor found it so.",
    "service",
)
STARTS = marks(
    "Starts", BLUE, "process_start_time_seconds * 1000", "{{job}} started", "{{instance}}", "job", at_value=True
)
# Of whatever the monitor knows to run: processes, containers, units.
CRASHES = marks(
    "Crashes",
    ORANGE,
    'delta(monitor_workload_unplanned_exits{job="monitor"}[1m]) > 0',
    "{{service}} ended unplanned",
    "Its cause and last lines are on its page.",
    "service",
)
RELOADS = marks(
    "Configurations",
    PURPLE,
    "monitor_config_last_reload_success_timestamp_seconds * 1000",
    "{{job}} took a configuration",
    "{{instance}}",
    "job",
    at_value=True,
)
ANNOTATIONS = [OUTAGES, CRASHES, STARTS, RELOADS]


def as_json(dashboard):
    """What Grafana is given, as text."""
    sources = {"metrics": "prometheus", "logs": "loki", "traces": "tempo"}
    menu = {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": False,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "Other questions",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }
    page = menu | {
        "asDropdown": False,
        "icon": "bolt",
        "keepTime": False,
        "tags": [],
        "targetBlank": True,
        "title": "The monitor's page",
        "type": "link",
        "url": f"{MONITOR_URL}/",
    }
    found = {
        "annotations": {"list": dashboard.annotations or ANNOTATIONS},
        "description": dashboard.asks,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [menu, page],
        "panels": placed(dashboard),
        "refresh": dashboard.refresh,
        "schemaVersion": SCHEMA_VERSION,
        "tags": [TAG],
        "templating": {"list": [of_source(name, sources[name]) for name in dashboard.sources] + dashboard.variables},
        "time": {"from": dashboard.since, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": dashboard.title,
        "uid": dashboard.uid,
        "version": 1,
        "weekStart": "",
    }
    return as_text(found) + "\n"


def as_text(value, inset="", name=""):
    """JSON with what fits on a line on one, so that a change is a line or two."""
    flat = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or len(inset) + len(name) + len(flat) < LINE and inset:
        return flat
    inner = inset + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + as_text(item, inner) for item in value) + f"\n{inset}]"
    pairs = [(json.dumps(key) + ": ", item) for key, item in value.items()]
    return "{\n" + ",\n".join(inner + key + as_text(item, inner, key) for key, item in pairs) + f"\n{inset}}}"


def placed(dashboard):
    found, down = [], 0
    for height, row in dashboard.rows:
        right = 0
        for width, panel in row:
            grid = {"h": height, "w": width, "x": right, "y": down}
            found.append(as_panel(panel, len(found) + 1, grid))
            right += width
        assert right == WIDTH, f"{dashboard.file}: a row is {right} wide, with {row[-1][1].title}"
        down += height
    return found


def as_panel(panel, number, grid):
    found = {
        "datasource": panel.targets[0]["datasource"],
        "description": f"{panel.asks}\n\n{panel.act}",
        "fieldConfig": {"defaults": panel.defaults, "overrides": panel.overrides},
        "gridPos": grid,
        "id": number,
        "options": panel.options,
        "targets": panel.targets,
        "title": panel.title,
        "type": panel.kind,
    }
    if panel.transformations:
        found["transformations"] = panel.transformations
    return found

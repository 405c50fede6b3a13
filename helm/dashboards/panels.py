"""The parts of a Grafana dashboard: panels, variables, and how they are laid out. Names of fields are those of Grafana's dashboard JSON,
schema version 39 (Grafana 10 and newer)."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What a panel is about: one release in one namespace.
AT = 'namespace="$namespace",job="$job"'
# The same and the pools that were chosen.
POOL = AT + ',pool=~"$pool"'
WIDTH = 24
HEIGHT = 8
STAT_HEIGHT = 4


def stat(title, description, expr, unit="short", steps=(("green", None),), decimals=None):
    """One figure. `steps` are colours and where each begins."""
    defaults = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in steps]},
        "mappings": [],
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    return panel("stat", title, description, [(expr, "")], defaults, options)


def series(title, description, targets, unit="short", stacked=False, floor=0):
    """Lines over time. `targets` are pairs of an expression and what its lines are called."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 10,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    defaults = {"unit": unit, "min": floor, "color": {"mode": "palette-classic"}, "custom": custom, "mappings": []}
    options = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, targets, defaults, options)


def panel(kind, title, description, targets, defaults, options):
    """A panel without its place."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend or "__auto",
                "range": True,
                "refId": chr(ord("A") + number),
            }
            for number, (expr, legend) in enumerate(targets)
        ],
    }


def quantiles(metric, by="", matchers=AT, shares=((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))):
    """Targets of a histogram's quantiles, apart by labels where `by` names some."""
    labels = f"{by}, le" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    rate = f"sum by ({labels}) (rate({metric}_bucket{{{matchers}}}[$__rate_interval]))"
    return [(f"histogram_quantile({share}, {rate})", name + legend) for share, name in shares]


def choice(name, label, query, many=False):
    """A variable with the values that a label has."""
    variable = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": query, "refId": f"variable-{name}"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": many,
        "includeAll": many,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }
    if many:
        variable |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return variable


def variables(pools):
    """The variables of a dashboard: where its data are, which release, which pools."""
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }
    out = [
        source,
        choice("namespace", "Namespace", "label_values(trainyard_build_info, namespace)"),
        choice("job", "Release", 'label_values(trainyard_build_info{namespace="$namespace"}, job)'),
    ]
    if pools:
        out.append(choice("pool", "Pool", 'label_values(trainyard_jobs{namespace="$namespace",job="$job"}, pool)', many=True))
    return out


def laid_out(rows):
    """Panels with their places: each row (title, panels) as wide as the dashboard, figures in one line, lines two by two."""
    out, y = [], 0
    for title, panels in rows:
        out.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}})
        y += 1
        figures = [one for one in panels if one["type"] == "stat"]
        lines = [one for one in panels if one["type"] != "stat"]
        for group, height, columns in ((figures, STAT_HEIGHT, max(1, len(figures))), (lines, HEIGHT, 2)):
            width = WIDTH // columns
            for number, one in enumerate(group):
                x, line = number % columns * width, number // columns * height
                out.append(one | {"gridPos": {"h": height, "w": width, "x": x, "y": y + line}})
            y += -(-len(group) // columns) * height
    for number, one in enumerate(out, start=1):
        one["id"] = number
    return out


def dashboard(uid, title, description, rows, pools=False):
    """A whole dashboard. Its uid never changes: links and bookmarks hold it."""
    link = {
        "type": "dashboards",
        "title": "Trainyard",
        "tags": ["trainyard"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "icon": "external link",
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["trainyard"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [link],
        "templating": {"list": variables(pools)},
        "panels": laid_out(rows),
    }

"""Whether the settings leave people unrung: each is allowed, and each is said. Pure."""

from tocsin_node.health import Check
from tocsin_node.settings.alerting import AlertSettings, GroupingSettings
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.settings.record import Settings

GRAVE = ("I", "II")
LONG_S = 3600.0  # a wait for what belongs together that is longer than this is no grouping any more


def unrung(settings: Settings) -> tuple[Check, ...]:
    """What of grades I and II rings nobody, only once or late; nothing where all is well."""
    found = (_silent(settings.alerts), _once(settings.oncall, settings.grouping), _late(settings.grouping))
    return tuple(check for check in found if check is not None)


def _silent(alerts: AlertSettings) -> Check | None:
    missing = [grade for grade in GRAVE if grade not in alerts.grades]
    if missing:
        hint = f"Reports of grade {' and '.join(missing)} ring nobody: put them into alerts.grades."
        return Check("settings", "degraded", "grades-unrung", hint)
    if not alerts.received:
        hint = "What peers report rings nobody: set alerts.received = true."
        return Check("settings", "degraded", "peers-unrung", hint)
    return None


def _once(oncall: OncallSettings, grouping: GroupingSettings) -> Check | None:
    ways = {
        "I": (oncall.grade_i_waits_min, grouping.repeat_i_s),
        "II": (oncall.grade_ii_waits_min, grouping.repeat_ii_s),
    }
    once = [grade for grade, (waits, repeat_s) in ways.items() if not waits and not repeat_s]
    if not once:
        return None
    hint = (
        f"An alert of grade {' or '.join(once)} that nobody answers rings once and never again: set "
        f"oncall.grade_{once[0].lower()}_waits_min or grouping.repeat_{once[0].lower()}_s."
    )
    return Check("settings", "degraded", "rings-once", hint)


def _late(grouping: GroupingSettings) -> Check | None:
    if grouping.wait_ii_s <= LONG_S:
        return None
    hint = f"Grade II rings only after {grouping.wait_ii_s / 3600:.1f} hours: lower grouping.wait_ii_s."
    return Check("settings", "degraded", "rings-late", hint)

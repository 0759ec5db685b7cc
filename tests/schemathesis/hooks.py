"""What no schema can say: which questions wait, and which parameters belong together."""

import schemathesis

EVENTS = 16


def number(value):
    """The number that a parameter says, if it is one that the door takes."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**64 else None


@schemathesis.hook
def before_call(ctx, case, kwargs):
    query = case.query or {}
    # Who asks for a point or for news that never come waits for it, 5 s or up to a minute.
    seq = number(query.get("minSeq"))
    if seq is not None and seq > EVENTS:
        query["minSeq"] = seq % (EVENTS + 1)
    wait = number(query.get("wait"))
    if wait is not None and 0 < wait <= 60:
        query["wait"] = 0
    # Opaque: only what a page gave goes back in. tests/query reads lists to their ends.
    query.pop("cursor", None)
    # Not together with asOf.
    if "asOf" in query and number(query.get("asOfSeq")) is not None:
        del query["asOfSeq"]

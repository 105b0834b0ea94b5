"""What Schemathesis is told beside the document.

The document says of answers what is always there, and leaves room for a newer gateway. Here an answer must have
nothing else: a member that the document does not name is found.
"""

import schemathesis


def close(schema: object) -> None:
    if isinstance(schema, list):
        for one in schema:
            close(one)
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for one in schema.values():
            close(one)


@schemathesis.hook
def before_load_schema(context, document) -> None:
    # A problem may carry what is in force all the same.
    schemas = {name: one for name, one in document["components"]["schemas"].items() if name != "Problem"}
    close(list(schemas.values()))
    for methods in document["paths"].values():
        for operation in methods.values():
            close([answer.get("content", {}) for answer in operation["responses"].values()])


@schemathesis.serializer("application/vnd.doorward.policy-bundle")
def bundle(context, value):
    # Any bytes: what fits the document is some file, and what is a bundle no document says.
    return value if isinstance(value, bytes) else str(value).encode()

"""One call of the published Python client, unmodified. Run by test_sdk_python.py inside the client's environment:

    sdk.py BASE SCENARIO JSON-ARGUMENTS        the key is in WAVESPEED_API_KEY

The last line of standard output is the result as JSON: {"value": ...} or {"raised": "Class", "text": ...}.
"""

import io
import json
import sys

import wavespeed


def main():
    base, scenario, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    client = wavespeed.Client(base_url=base)
    model, params = arguments.get("model"), arguments.get("input")
    options = arguments.get("options", {})
    if scenario == "run":
        return client.run(model, params, poll_interval=0.1, **options)
    if scenario == "sync":
        return client.run(model, params, enable_sync_mode=True, **options)
    if scenario == "no_throw":
        return client.run_no_throw(model, params, poll_interval=0.1, **options)
    if scenario == "module":
        wavespeed.config.api.base_url = base
        return wavespeed.run(model, params)
    if scenario == "upload":
        return client.upload(arguments["path"])
    if scenario == "upload_stream":
        with open(arguments["path"], "rb") as file:
            return client.upload(io.BytesIO(file.read()))
    if scenario == "get_result":
        return client.get_result(arguments["id"])
    raise SystemExit(f"no scenario {scenario}")


try:
    result = {"value": main()}
except Exception as error:  # the test looks at what the client raised
    result = {"raised": type(error).__name__, "text": str(error)}
print(json.dumps(result))

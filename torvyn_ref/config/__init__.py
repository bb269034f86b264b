"""Configuration: Torvyn.toml read, layered, checked as a whole and handed over as read-only typed values.

`load` gives a `Project`; its `stream_settings` and `node_settings` resolve what an edge and a stage get. `json_schema` exports the schema.
"""

from torvyn_ref.config.environment import known_variables as known_variables
from torvyn_ref.config.export import json_schema as json_schema
from torvyn_ref.config.load import load as load
from torvyn_ref.config.load import read_manifest as read_manifest
from torvyn_ref.config.project import NodeSettings as NodeSettings
from torvyn_ref.config.project import Project as Project
from torvyn_ref.config.project import StreamSettings as StreamSettings
from torvyn_ref.config.schema import Component as Component
from torvyn_ref.config.schema import Edge as Edge
from torvyn_ref.config.schema import Endpoint as Endpoint
from torvyn_ref.config.schema import Flow as Flow
from torvyn_ref.config.schema import Manifest as Manifest
from torvyn_ref.config.schema import Node as Node
from torvyn_ref.config.schema import PackageManifest as PackageManifest
from torvyn_ref.config.settings import ErrorPolicy as ErrorPolicy
from torvyn_ref.config.values import parse_size as parse_size

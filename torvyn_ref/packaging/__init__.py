"""Packaging: component references resolved to verified bytes, from files, OCI layouts and registries.

`resolve` (or a `Resolver` for many) is what a host needs; `pack`, `publish` and, a level below, `assemble`, `push_to_layout` and `push` are
its mirror image. `inspect` and `admit` are for who must decide whether a component may run. Nothing here is believed before its digest and
size agree, and nothing is kept of what does not.
"""

from torvyn_ref.packaging.admission import Policy as Policy
from torvyn_ref.packaging.admission import admit as admit
from torvyn_ref.packaging.archive import read_archive as read_archive
from torvyn_ref.packaging.artifact import Artifact as Artifact
from torvyn_ref.packaging.artifact import Limits as Limits
from torvyn_ref.packaging.artifact import assemble as assemble
from torvyn_ref.packaging.artifact import check_component as check_component
from torvyn_ref.packaging.artifact import digest_of as digest_of
from torvyn_ref.packaging.cache import Cache as Cache
from torvyn_ref.packaging.cache import default_root as default_root
from torvyn_ref.packaging.image import publish as publish
from torvyn_ref.packaging.inspection import inspect as inspect
from torvyn_ref.packaging.layout import Layout as Layout
from torvyn_ref.packaging.layout import push_to_layout as push_to_layout
from torvyn_ref.packaging.packing import pack as pack
from torvyn_ref.packaging.packing import unpack as unpack
from torvyn_ref.packaging.provenance import BuildRecord as BuildRecord
from torvyn_ref.packaging.reference import Reference as Reference
from torvyn_ref.packaging.reference import parse_oci as parse_oci
from torvyn_ref.packaging.reference import parse_reference as parse_reference
from torvyn_ref.packaging.registry import Credentials as Credentials
from torvyn_ref.packaging.registry import RegistryOptions as RegistryOptions
from torvyn_ref.packaging.registry import push as push
from torvyn_ref.packaging.resolve import ResolvedComponent as ResolvedComponent
from torvyn_ref.packaging.resolve import Resolver as Resolver
from torvyn_ref.packaging.resolve import resolve as resolve

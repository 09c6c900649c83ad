"""MISP's own readers. Imported by the tests that ask them, as they take a second to load and leave traces.

Under misp-stix lie libraries for STIX 1 with a copy of six that is older than Python 3.12's import machinery:
it puts an importer into `sys.meta_path` that warns at every later import anywhere. It is needed only while
they are loaded, and taken out again.
"""

import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pymisp
    from misp_stix_converter import MISPtoSTIX21Parser

sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]

__all__ = ["MISPtoSTIX21Parser", "pymisp"]

"""Where tasks run: this machine's processes, or a Ray cluster's."""

from lfkit.engines.engine import Ended as Ended
from lfkit.engines.engine import Engine as Engine
from lfkit.engines.engine import Task as Task
from lfkit.engines.local import LocalEngine as LocalEngine
from lfkit.engines.ray import RayEngine as RayEngine

"""Triangle meshes and point clouds as learning needs them, on whichever library can do it.

``backend``   what is asked for (`auto`, `kaolin`, `torch`), what is there, and the choice
``torch_ops``    every operation in plain torch: complete, batched, on any device
``kaolin_ops``   the same, with the operations that kaolin really has put in their place
``files``     meshes of any topology from PLY, OBJ, OFF and others

Modules are imported where they are used: torch costs seconds, and listing tasks needs none.
"""

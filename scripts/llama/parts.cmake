# Read by llama.cpp's own CMakeLists.txt. The binding switches this library on with FORCE, but neither ships nor needs it:
# without it a third of the compile time is saved.
set(LLAMA_BUILD_COMMON OFF)

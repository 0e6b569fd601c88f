# LibTorch from the torch wheel that tools/setup.sh unpacks into .deps/, or from any folder of CMAKE_PREFIX_PATH
# that has include/ and lib/ of LibTorch. TorchConfig.cmake is not used: it demands a CUDA toolkit.
#
# Defines LibTorch::LibTorch with libtorch_cpu and libc10 alone: the CPU half of LibTorch, which runs with or
# without a GPU.

set(_hints ${CMAKE_SOURCE_DIR}/.deps/libtorch/torch ${CMAKE_PREFIX_PATH})
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS ${_hints} PATH_SUFFIXES include torch/include)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_hints} PATH_SUFFIXES lib torch/lib)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_hints} PATH_SUFFIXES lib torch/lib)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run tools/setup.sh, or name a LibTorch in CMAKE_PREFIX_PATH")

foreach(_header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(EXISTS ${LibTorch_INCLUDE_DIR}/${_header})
    file(STRINGS ${LibTorch_INCLUDE_DIR}/${_header} _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
    list(TRANSFORM _lines REPLACE "[^0-9]" "")
    string(REPLACE ";" "." LibTorch_VERSION "${_lines}")
    break()
  endif()
endforeach()

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  get_filename_component(_lib ${LibTorch_CPU_LIBRARY} DIRECTORY)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    ${LibTorch_INCLUDE_DIR} ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include)
  # Without -fopenmp at::parallel_for of a header runs on one thread. The runtime is LibTorch's own, so that one
  # process has one; the CUDA runtime libraries lie in .deps/cuda, those of an installed torch package beside it.
  file(GLOB _openmp ${_lib}/libgomp*.so* ${_lib}/libiomp5*.so*)
  if(NOT _openmp)
    set(_openmp -fopenmp)
  endif()
  target_compile_options(LibTorch::LibTorch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
  target_link_libraries(LibTorch::LibTorch INTERFACE
    ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY} ${_openmp})
  set(_nvidia ${_lib}/../../nvidia)
  target_link_options(LibTorch::LibTorch INTERFACE
    "LINKER:-rpath,${_lib}" "LINKER:-rpath,${_nvidia}/cu13/lib" "LINKER:-rpath,${_nvidia}/nccl/lib"
    "LINKER:-rpath,${CMAKE_SOURCE_DIR}/.deps/cuda/lib"
    "LINKER:-rpath-link,${CMAKE_SOURCE_DIR}/.deps/cuda/lib" "LINKER:--disable-new-dtags")
endif()

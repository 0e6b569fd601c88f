# Headers and libraries of CUDA's run time and of NCCL: from .deps/cuda (tools/setup.sh on a machine with a GPU),
# $CUDA_HOME, $CUDA_PATH, /usr/local/cuda, or wherever the system has them. No GPU, driver or nvcc is needed.
#
# Defines CudaNccl::CudaNccl. CudaNccl_ROOTS replaces the list of folders.

set(CudaNccl_ROOTS ${CMAKE_SOURCE_DIR}/.deps/cuda $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda
    CACHE STRING "Folders with include/ and lib/ of CUDA and NCCL")
# The wheel of the run time alone has cuda_runtime.h without the crt/ that it includes.
find_path(CudaNccl_CUDA_INCLUDE_DIR crt/host_config.h HINTS ${CudaNccl_ROOTS} PATH_SUFFIXES include)
find_path(CudaNccl_NCCL_INCLUDE_DIR nccl.h HINTS ${CudaNccl_ROOTS} PATH_SUFFIXES include)
find_library(CudaNccl_CUDA_LIBRARY NAMES cudart libcudart.so.13 libcudart.so.12
  HINTS ${CudaNccl_ROOTS} PATH_SUFFIXES lib64 lib)
find_library(CudaNccl_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${CudaNccl_ROOTS} PATH_SUFFIXES lib64 lib)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CudaNccl
  REQUIRED_VARS CudaNccl_NCCL_LIBRARY CudaNccl_NCCL_INCLUDE_DIR CudaNccl_CUDA_LIBRARY CudaNccl_CUDA_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "there is no libassay_cuda.so then, and --device cuda says so")

if(CudaNccl_FOUND AND NOT TARGET CudaNccl::CudaNccl)
  add_library(CudaNccl::CudaNccl INTERFACE IMPORTED)
  target_include_directories(CudaNccl::CudaNccl SYSTEM INTERFACE
    ${CudaNccl_CUDA_INCLUDE_DIR} ${CudaNccl_NCCL_INCLUDE_DIR})
  target_link_libraries(CudaNccl::CudaNccl INTERFACE ${CudaNccl_CUDA_LIBRARY} ${CudaNccl_NCCL_LIBRARY})
  foreach(_library ${CudaNccl_CUDA_LIBRARY} ${CudaNccl_NCCL_LIBRARY})
    get_filename_component(_lib ${_library} DIRECTORY)
    target_link_options(CudaNccl::CudaNccl INTERFACE "LINKER:-rpath,${_lib}")
  endforeach()
endif()

# How the project's own targets are built: language level, warnings, precompiled headers, compiler cache.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
set(CMAKE_SKIP_INSTALL_RULES ON)

set(ASSAY_ARCH "x86-64-v3" CACHE STRING "Value of -march; bits of CPU results are promised for one build")
# Off in the preset asan: what sanitizers add makes GCC 12 warn of what is not there.
option(ASSAY_WERROR "Warnings are errors" ON)
# Off in the preset asan too: GCC 12 crashes on precompiled headers with sanitizers.
option(ASSAY_PCH "Precompiled headers" ON)
option(ASSAY_TORCH "Build what links LibTorch" ON)
if(NOT ASSAY_PCH)
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Hits across checkouts (CI clones into another folder) and with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${CCACHE_PROGRAM})
endif()

add_library(assay_options INTERFACE)
target_include_directories(assay_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(assay_options INTERFACE
  -march=${ASSAY_ARCH}
  -ffp-contract=off  # The same bits whatever the optimiser fuses.
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual
  -Wconversion -Wno-sign-conversion -Wnull-dereference
  -fpch-preprocess
  $<$<BOOL:${ASSAY_WERROR}>:-Werror>)

# assay_precompiled(NAME LINK ... HEADERS ...): a target that exists for its precompiled header.
function(assay_precompiled name)
  cmake_parse_arguments(ARG "" "" "LINK;HEADERS" ${ARGN})
  file(WRITE ${CMAKE_BINARY_DIR}/${name}.cpp "// Nothing: the target exists for its precompiled header.\n")
  add_library(${name} STATIC ${CMAKE_BINARY_DIR}/${name}.cpp)
  target_link_libraries(${name} PUBLIC assay_options fmt::fmt nlohmann_json::nlohmann_json ${ARG_LINK})
  target_precompile_headers(${name} PRIVATE
    <fmt/format.h> <nlohmann/json.hpp> <filesystem> <functional> <map> <optional> <string> <vector> ${ARG_HEADERS})
endfunction()

# assay_library(NAME SOURCES ... LINK ...): a static library of one folder, with LibTorch if it says TORCH.
function(assay_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINK" ${ARGN})
  if(ARG_TORCH AND NOT ASSAY_TORCH)
    return()
  endif()
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC assay_options ${ARG_LINK})
  if(ARG_TORCH)
    target_link_libraries(${name} PUBLIC LibTorch::LibTorch)
    target_precompile_headers(${name} REUSE_FROM torch_pch)
  else()
    target_link_libraries(${name} PUBLIC fmt::fmt nlohmann_json::nlohmann_json)
    target_precompile_headers(${name} REUSE_FROM plain_pch)
  endif()
endfunction()

# assay_test(FOLDER [TORCH] [LABELS ...] SOURCES ... LINK ...): the test program of one folder, one ctest entry.
function(assay_test folder)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINK;LABELS" ${ARGN})
  if(ARG_TORCH AND NOT ASSAY_TORCH)
    return()
  endif()
  add_executable(${folder}_test ${ARG_SOURCES})
  target_link_libraries(${folder}_test PRIVATE assay_options ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${folder}_test PRIVATE
    ASSAY_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data" ASSAY_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    ASSAY_BINARY_DIR="${CMAKE_BINARY_DIR}")
  # As a library, so that the precompiled header fits: it saves 15 s a file with LibTorch, 3 s without.
  set_target_properties(${folder}_test PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${folder}_test PRIVATE -fPIC)
  if(ARG_TORCH)
    target_link_libraries(${folder}_test PRIVATE LibTorch::LibTorch)
    target_precompile_headers(${folder}_test REUSE_FROM torch_pch)
  else()
    target_link_libraries(${folder}_test PRIVATE fmt::fmt nlohmann_json::nlohmann_json)
    target_precompile_headers(${folder}_test REUSE_FROM test_pch)
  endif()
  add_test(NAME ${folder} COMMAND ${folder}_test)
  set_tests_properties(${folder} PROPERTIES TIMEOUT 600 LABELS "${ARG_LABELS}")
endfunction()

# assay_mpi_test(NAME [ARGUMENTS ...]): the test program of that name also under mpirun, with 1 to 4 ranks.
function(assay_mpi_test name)
  cmake_parse_arguments(ARG "" "" "ARGUMENTS" ${ARGN})
  if(NOT TARGET ${name}_test)
    return()
  endif()
  foreach(ranks 1 2 3 4)
    add_test(NAME ${name}_mpi_${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${name}_test> ${ARG_ARGUMENTS})
    # More ranks than cores, and root in a container: settings of Open MPI that others ignore.
    set_tests_properties(${name}_mpi_${ranks} PROPERTIES TIMEOUT 120 PROCESSORS ${ranks} ENVIRONMENT
      "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1;OMPI_MCA_hwloc_base_binding_policy=none;OMPI_MCA_mpi_yield_when_idle=1")
  endforeach()
endfunction()

# embed(NAME FILE): a file that lives inside the program, as the C++ constant assay::NAME.
function(embed name file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${file} text)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp @ONLY CONTENT
"namespace assay {
extern const char @name@[];
const char @name@[] = R\"embedded(@text@)embedded\";
}  // namespace assay
")
endfunction()

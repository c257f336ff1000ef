# What every target of the course is built with.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

set(IPC_SANITIZE "" CACHE STRING "Sanitizers for every target, as -fsanitize= takes them (address,undefined or thread)")

if(WIN32)
  set(IPC_TRACK win32)
  set(IPC_OTHER_TRACK posix)
else()
  set(IPC_TRACK posix)
  set(IPC_OTHER_TRACK win32)
endif()

add_library(ipc_warnings INTERFACE)
if(MSVC)
  target_compile_options(ipc_warnings INTERFACE /W4 /utf-8 /permissive-)
else()
  target_compile_options(ipc_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow)
endif()

# Our own code has no warnings; a student's may have some and is still judged.
add_library(ipc_strict INTERFACE)
target_link_libraries(ipc_strict INTERFACE ipc_warnings)
if(NOT MSVC)
  target_compile_options(ipc_strict INTERFACE -Werror)
endif()

if(IPC_SANITIZE)
  add_compile_options(-fsanitize=${IPC_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${IPC_SANITIZE})
  if(IPC_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

if(NOT MSVC)
  add_compile_options("-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=")  # messages name files as the student knows them
endif()
if(WIN32)
  add_compile_definitions(WIN32_LEAN_AND_MEAN NOMINMAX UNICODE _UNICODE _WIN32_WINNT=0x0A00)
endif()
if(MINGW)
  # A program that starts from any folder, under Wine too; and at once: Wine reads the debug information at every start.
  # So none is made: to strip a judge of it takes seconds.
  add_compile_options(-g0)
  add_link_options(-static -Wl,--strip-debug)
endif()

find_package(Threads REQUIRED)

# Header-only packages. A cross compiler must not be shown /usr/include, so it gets copies of just their folders.
if(CMAKE_CROSSCOMPILING)
  foreach(package doctest CLI nlohmann)
    find_path(IPC_${package}_PARENT NAMES ${package} PATHS /usr/include NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH REQUIRED
      DOC "where the header folder ${package} is (Debian: doctest-dev, libcli11-dev, nlohmann-json3-dev)")
    file(COPY "${IPC_${package}_PARENT}/${package}" DESTINATION "${CMAKE_BINARY_DIR}/include")
  endforeach()
  add_library(ipc_headers INTERFACE)
  target_include_directories(ipc_headers SYSTEM INTERFACE "${CMAKE_BINARY_DIR}/include")
else()
  find_package(doctest REQUIRED)
  find_package(CLI11 REQUIRED)
  find_package(nlohmann_json REQUIRED)
  add_library(ipc_headers INTERFACE)
  target_link_libraries(ipc_headers INTERFACE doctest::doctest CLI11::CLI11 nlohmann_json::nlohmann_json)
endif()

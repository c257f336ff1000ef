# ipc_add_lab(NN-name): the lab program, its solution, its judge, and the programs that prove the judge right.
#
# Targets, where NN is the lab's number:
#   lab-NN        the student's file                          bin/lab-NN
#   solution-NN   the reference, if solutions/ is there       bin/solution/lab-NN
#   judge-NN      the autograder                              bin/judge-NN
#   subjects-NN   every mistake and alternative               bin/{mistakes,alternatives}/NN/NAME/lab-NN
# CTest: lab-NN (label student) judges the student's file, solution-NN (label project) the solution.
function(ipc_add_lab lab)
  string(SUBSTRING "${lab}" 0 2 number)
  set(folder "${CMAKE_SOURCE_DIR}/labs/${lab}")
  set(solution "${CMAKE_SOURCE_DIR}/solutions/${lab}/${IPC_TRACK}.cpp")
  set(tests "${CMAKE_SOURCE_DIR}/tests/${lab}")
  set_property(GLOBAL APPEND PROPERTY IPC_LABS "${lab}")
  if(NOT EXISTS "${folder}/main.cpp")
    message(FATAL_ERROR "labs/${lab} has no main.cpp; a lab needs labs/${lab}, tests/${lab} and a line in CMakeLists.txt")
  endif()

  # What a lab needs beyond the C and C++ libraries it says in a file of its own: lab_libraries, judge_libraries.
  set(lab_libraries)
  set(judge_libraries)
  include("${folder}/libraries.cmake" OPTIONAL)

  # The given part of the lab program is compiled once for all its subjects.
  add_library(lab-${number}-main OBJECT "${folder}/main.cpp")
  target_include_directories(lab-${number}-main PUBLIC "${folder}")
  target_link_libraries(lab-${number}-main PUBLIC ipc ${lab_libraries} PRIVATE ipc_headers ipc_strict)

  add_executable(lab-${number} "${folder}/${IPC_TRACK}.cpp")
  target_link_libraries(lab-${number} PRIVATE lab-${number}-main ipc_warnings)

  if(CMAKE_CROSSCOMPILING)
    # For a shell's PATH: the name that the posix track's program has.
    file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/run/lab-${number}"
      CONTENT "#!/bin/sh\nexec '${CMAKE_CROSSCOMPILING_EMULATOR}' '$<TARGET_FILE:lab-${number}>' \"$@\"\n"
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endif()

  file(GLOB judge_sources CONFIGURE_DEPENDS "${tests}/*.cpp")
  list(FILTER judge_sources EXCLUDE REGEX "_${IPC_OTHER_TRACK}[.]cpp$")
  add_executable(judge-${number} ${judge_sources})
  target_compile_definitions(judge-${number} PRIVATE JUDGE_LAB="${lab}")
  target_link_libraries(judge-${number} PRIVATE judge_harness ipc_strict ${judge_libraries})
  add_dependencies(judge-${number} puppet)

  ipc_add_judging(lab-${number} ${number} student)

  if(EXISTS "${solution}")
    ipc_add_subject(solution-${number} ${number} "${solution}" solution)
    target_link_libraries(solution-${number} PRIVATE ipc_strict)
    ipc_add_judging(solution-${number} ${number} project)
    ipc_add_proofs(${number} "${solution}" "${tests}")
  endif()
endfunction()

# One more program with the lab's verbs, made of another file.
function(ipc_add_subject target number source subfolder)
  add_executable(${target} "${source}")
  target_link_libraries(${target} PRIVATE lab-${number}-main)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME lab-${number} RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/${subfolder}")
endfunction()

# Mistakes are patches on the solution, alternatives are whole files; none is built unless asked for.
# There are hundreds of mistakes, and nobody debugs them: what they all include is compiled once, and they keep no debug
# information. (Solutions, alternatives and students' files stand on their own includes.)
add_library(ipc_unwarned INTERFACE)
if(NOT MSVC)
  target_compile_options(ipc_unwarned INTERFACE -w -g0)
endif()
file(CONFIGURE OUTPUT mistakes/headers.cpp CONTENT "")
add_library(mistake_headers OBJECT EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/mistakes/headers.cpp")
target_link_libraries(mistake_headers PRIVATE ipc ipc_unwarned)
target_precompile_headers(mistake_headers PRIVATE
  <algorithm> <array> <charconv> <chrono> <functional> <map> <memory> <mutex> <optional> <string> <string_view> <thread> <vector>
  "$<$<PLATFORM_ID:Windows>:<windows.h$<ANGLE-R>>"
  "${CMAKE_SOURCE_DIR}/common/ipc/clock.hpp" "${CMAKE_SOURCE_DIR}/common/ipc/error.hpp"
  "${CMAKE_SOURCE_DIR}/common/ipc/handle.hpp" "${CMAKE_SOURCE_DIR}/common/ipc/text.hpp")

function(ipc_add_proofs number solution tests)
  find_program(IPC_PATCH patch REQUIRED DOC "the patch program (Debian: patch)")
  add_custom_target(subjects-${number})
  file(GLOB patches CONFIGURE_DEPENDS "${tests}/mistakes/${IPC_TRACK}/*.patch")
  foreach(patch IN LISTS patches)
    get_filename_component(name "${patch}" NAME_WE)
    set(source "${CMAKE_BINARY_DIR}/mistakes/${number}/${name}.cpp")
    add_custom_command(OUTPUT "${source}"
      COMMAND "${IPC_PATCH}" --quiet --fuzz=0 -o "${source}" "${solution}" "${patch}"
      DEPENDS "${solution}" "${patch}"
      COMMENT "Making mistake ${number}/${name}" VERBATIM)
    ipc_add_subject(mistake-${number}-${name} ${number} "${source}" mistakes/${number}/${name})
    target_link_libraries(mistake-${number}-${name} PRIVATE ipc_unwarned)
    target_precompile_headers(mistake-${number}-${name} REUSE_FROM mistake_headers)
    set_target_properties(mistake-${number}-${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    add_dependencies(subjects-${number} mistake-${number}-${name})
  endforeach()
  file(GLOB alternatives CONFIGURE_DEPENDS "${tests}/alternatives/${IPC_TRACK}/*.cpp")
  foreach(source IN LISTS alternatives)
    get_filename_component(name "${source}" NAME_WE)
    ipc_add_subject(alternative-${number}-${name} ${number} "${source}" alternatives/${number}/${name})
    target_link_libraries(alternative-${number}-${name} PRIVATE ipc_strict)
    set_target_properties(alternative-${number}-${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    add_dependencies(subjects-${number} alternative-${number}-${name})
  endforeach()
  file(GLOB cheats CONFIGURE_DEPENDS "${tests}/cheats/${IPC_TRACK}/*.cpp")
  foreach(source IN LISTS cheats)
    get_filename_component(name "${source}" NAME_WE)
    ipc_add_subject(cheat-${number}-${name} ${number} "${source}" cheats/${number}/${name})
    target_link_libraries(cheat-${number}-${name} PRIVATE ipc_unwarned)
    set_target_properties(cheat-${number}-${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    add_dependencies(subjects-${number} cheat-${number}-${name})
  endforeach()
endfunction()

# A CTest test that passes only with full marks. A judge that runs no case never exits 0.
function(ipc_add_judging subject number label)
  add_test(NAME ${subject} COMMAND judge-${number} --subject "$<TARGET_FILE:${subject}>")
  set_tests_properties(${subject} PROPERTIES LABELS "${label};lab-${number}" TIMEOUT 300)
endfunction()

# build/PRESET/labs.json: what the course tool needs to know of this build.
function(ipc_write_lab_list)
  get_property(labs GLOBAL PROPERTY IPC_LABS)
  list(JOIN labs "\", \"" joined)
  file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/labs.json" CONTENT
"{ \"version\": \"${PROJECT_VERSION}\", \"track\": \"${IPC_TRACK}\", \"sanitize\": \"${IPC_SANITIZE}\", \"labs\": [\"${joined}\"] }\n")
endfunction()

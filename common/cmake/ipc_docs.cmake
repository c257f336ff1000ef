# The site: the target `docs` (preset `docs`) does what ./course docs does. And a test for each handout: its commands
# are run with the solution's program, and must answer what the handout says.
if(TARGET course)
  add_custom_target(docs
    COMMAND "${CMAKE_COMMAND}" -E env "COURSE_ROOT=${CMAKE_SOURCE_DIR}" "$<TARGET_FILE:course>" docs
    DEPENDS course USES_TERMINAL VERBATIM)

  add_subdirectory(tests/docs)
  get_property(documented_labs GLOBAL PROPERTY IPC_LABS)
  foreach(lab IN LISTS documented_labs)
    string(SUBSTRING "${lab}" 0 2 number)
    if(TARGET solution-${number})
      add_test(NAME handout-${number}
        COMMAND check-handout "${CMAKE_SOURCE_DIR}" "labs/${lab}/README.md" "$<TARGET_FILE_DIR:solution-${number}>")
      # Two handouts at once would meet at the same names in /dev/shm.
      set_tests_properties(handout-${number} PROPERTIES LABELS "project;handouts" TIMEOUT 120
        SKIP_RETURN_CODE 77 RESOURCE_LOCK handouts)
    endif()
  endforeach()
endif()

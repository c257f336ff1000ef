if(WIN32)
  set(lab_libraries ws2_32)
  set(judge_libraries ws2_32)
endif()

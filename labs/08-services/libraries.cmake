# The Service Control Manager, and who is at the other end of a pipe.
if(WIN32)
  set(lab_libraries advapi32)
  set(judge_libraries advapi32)
endif()

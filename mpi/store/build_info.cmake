# Which commit a build is of, asked at every build: cmake -D SOURCE=... -D OUTPUT=...
# -D VERSION=... -D COMPILER=... -P build_info.cmake. Rewrites OUTPUT only if it changes.
set(PAL_COMMIT unknown)
find_program(GIT git)
if(GIT)
  execute_process(COMMAND ${GIT} describe --always --dirty --abbrev=40 --exclude=*
    WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit RESULT_VARIABLE failed
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed)
    set(PAL_COMMIT ${commit})
  endif()
endif()
configure_file(${SOURCE}/mpi/store/build_info.h.in ${OUTPUT} @ONLY)

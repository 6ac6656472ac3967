# The folder outside the checkout that scripts/setup.sh fills: TERRACE_CACHE_FOLDER.

if(DEFINED ENV{TERRACE_CACHE})
  set(TERRACE_CACHE_FOLDER "$ENV{TERRACE_CACHE}")
else()
  set(TERRACE_CACHE_FOLDER "$ENV{HOME}/.cache/terrace")
endif()

# Where Boost 1.74-dev keeps 1.81-dev from being installed, setup.sh unpacked 1.81 here.
if(NOT DEFINED Boost_ROOT AND NOT DEFINED ENV{BOOST_ROOT} AND EXISTS "${TERRACE_CACHE_FOLDER}/boost/usr/include/boost/json.hpp")
  set(Boost_ROOT "${TERRACE_CACHE_FOLDER}/boost/usr")
  set(Boost_NO_SYSTEM_PATHS ON)
  set(Boost_USE_STATIC_LIBS ON)
endif()

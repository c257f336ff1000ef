@echo off
rem The front door on Windows: the win32 track, built natively with the preset `windows` and judged by the same judges.
rem It does what ./course does for grade and test, and no more. It has not been tried on Windows.
setlocal EnableExtensions
cd /d "%~dp0"
echo course.cmd: this script has not been tried on Windows yet; please report what you see. 1>&2

set "VERB=%~1"
if "%VERB%"=="" goto help
if /i "%VERB%"=="--help" goto help
if /i "%VERB%"=="-h" goto help
if /i "%VERB%"=="grade" goto tools
if /i "%VERB%"=="test" goto tools
echo course.cmd: there is no command '%VERB%' here; the commands are grade and test 1>&2
exit /b 2

:help
echo usage: course.cmd grade LAB [--solution] [--case ID]... [--seed HEX]
echo        course.cmd test
echo.
echo   grade   builds labs\NN-name\win32.cpp (or its solution) and judges it; LAB is 00, 01 or the full name
echo   test    configures, builds and tests everything: cmake --workflow --preset windows
echo.
echo Needs: a C++20 compiler (Visual Studio's developer prompt), CMake 3.25, Ninja, and doctest, CLI11 and nlohmann-json
echo where CMake finds them (CMAKE_PREFIX_PATH). Exit codes are those of docs\exit-codes.md.
exit /b 0

:tools
for %%T in (cmake ninja) do (
    where %%T >nul 2>nul || (
        echo course.cmd: %%T is not found in PATH. Open Visual Studio's developer prompt, which has it, or install it. 1>&2
        exit /b 4
    )
)
if /i "%VERB%"=="test" (
    cmake --workflow --preset windows
    if errorlevel 1 exit /b 1
    exit /b 0
)

shift
set "WANTED=%~1"
if "%WANTED%"=="" (
    echo course.cmd: which lab? 'course.cmd grade 01' 1>&2
    exit /b 2
)
if "%WANTED:~1%"=="" set "WANTED=0%WANTED%"
set "LAB="
for /d %%D in ("labs\%WANTED%*") do if exist "%%D\main.cpp" set "LAB=%%~nxD"
if "%LAB%"=="" (
    echo course.cmd: there is no lab '%WANTED%'; the labs are: 1>&2
    dir /b /ad labs 1>&2
    exit /b 2
)
set "NUMBER=%LAB:~0,2%"
shift

set "TARGET=lab-%NUMBER%"
set "SUBJECT=build\windows\bin\lab-%NUMBER%.exe"
set "SOURCE=labs\%LAB%\win32.cpp"
set "AGAIN=course.cmd grade %NUMBER% --case {case}"
set "REST="
:arguments
if "%~1"=="" goto build
if /i "%~1"=="--solution" (
    set "TARGET=solution-%NUMBER%"
    set "SUBJECT=build\windows\bin\solution\lab-%NUMBER%.exe"
    set "SOURCE=solutions\%LAB%\win32.cpp"
    set "AGAIN=course.cmd grade %NUMBER% --solution --case {case}"
    shift
    goto arguments
)
if /i "%~1"=="--case" (
    set "REST=%REST% --case %~2"
    shift
    shift
    goto arguments
)
if /i "%~1"=="--seed" (
    set "REST=%REST% --seed %~2"
    shift
    shift
    goto arguments
)
echo course.cmd: unknown option '%~1'; 'course.cmd --help' lists them 1>&2
exit /b 2

:build
if not exist build\windows\build.ninja (
    cmake --preset windows || exit /b 4
)
cmake --build --preset windows --target judge-%NUMBER% puppet || exit /b 5
cmake --build --preset windows --target %TARGET% || exit /b 3
build\windows\bin\judge-%NUMBER%.exe --subject "%SUBJECT%" --source "%SOURCE%" --rerun "%AGAIN%" --hide solutions --hide tests%REST%
exit /b %errorlevel%

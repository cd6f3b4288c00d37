dnl mailhaul.m4 - configure's own checks: flags are probed, and all that is missing is named at once.

dnl MH_FLAGS(VARIABLE, FLAGS): appends to VARIABLE each flag the compiler takes without a word.
AC_DEFUN([MH_FLAGS], [
for mh_flag in $2; do
	mh_saved_cflags=$CFLAGS
	CFLAGS="$CFLAGS $mh_flag -Werror"
	AC_MSG_CHECKING([whether $CC takes $mh_flag])
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes]); $1="$$1 $mh_flag"],
		[AC_MSG_RESULT([no])])
	CFLAGS=$mh_saved_cflags
done
])

dnl MH_MISSING(WHAT, DEBIAN, FEDORA, ALPINE): notes a missing package for MH_MISSING_REPORT.
AC_DEFUN([MH_MISSING], [
mh_missing="$mh_missing
    $1: $2 (Debian, Ubuntu), $3 (Fedora), $4 (Alpine)"
mh_missing_debian="$mh_missing_debian $2"
mh_missing_fedora="$mh_missing_fedora $3"
mh_missing_alpine="$mh_missing_alpine $4"
])

dnl MH_PKG(PREFIX, NAME, MODULE, DEBIAN, FEDORA, ALPINE): a library that has a .pc file. Its
dnl headers are taken by -isystem, so that our warnings do not judge them.
AC_DEFUN([MH_PKG], [
AC_ARG_VAR([$1][_CFLAGS], [compiler flags for $2, overriding pkg-config])
AC_ARG_VAR([$1][_LIBS], [linker flags for $2, overriding pkg-config])
AC_MSG_CHECKING([for $2])
mh_found=no
AS_IF([test -n "$[$1][_LIBS]"], [mh_found=yes],
	[test -n "$PKG_CONFIG" && $PKG_CONFIG --exists "$3" 2>/dev/null], [
	mh_found=yes
	$1[_CFLAGS]=`$PKG_CONFIG --cflags "$3" | sed 's/-I */-isystem /g'`
	$1[_LIBS]=`$PKG_CONFIG --libs "$3"`
])
AC_MSG_RESULT([$mh_found])
AS_IF([test $mh_found = no], [MH_MISSING([$2], [$4], [$5], [$6])])
])

dnl MH_LIB(PREFIX, NAME, HEADERS, LIBRARY, FUNCTION, DEBIAN, FEDORA, ALPINE): a library without a
dnl .pc file that can be used; one header of HEADERS is enough.
AC_DEFUN([MH_LIB], [
AC_ARG_VAR([$1][_CFLAGS], [compiler flags for $2])
AC_ARG_VAR([$1][_LIBS], [linker flags for $2])
mh_header=no
mh_saved_cppflags=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $[$1][_CFLAGS]"
AC_CHECK_HEADERS([$3], [mh_header=yes; break])
CPPFLAGS=$mh_saved_cppflags
mh_library=no
AS_IF([test -n "$[$1][_LIBS]"], [mh_library=yes],
	[AC_CHECK_LIB([$4], [$5], [mh_library=yes; $1[_LIBS]=-l$4], [])])
AS_IF([test $mh_header = no || test $mh_library = no], [MH_MISSING([$2], [$6], [$7], [$8])])
AC_SUBST([$1][_CFLAGS])
AC_SUBST([$1][_LIBS])
])

dnl MH_MISSING_REPORT(NOTE): ends configure with the whole list, if there is one.
AC_DEFUN([MH_MISSING_REPORT], [
AS_IF([test -n "$mh_missing"], [AC_MSG_ERROR([these packages are missing:
$mh_missing

  Debian, Ubuntu:  apt-get install --no-install-recommends$mh_missing_debian
  Fedora:          dnf install$mh_missing_fedora
  Alpine:          apk add$mh_missing_alpine
$1])])
])

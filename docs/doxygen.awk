# A header's plain comments as Doxygen's: the first ones are the file's, those on lines of their own
# belong to what follows, those behind a declaration to it. Sections, "// ---- title", become groups.
function leave_section() {
  if (inside) print "/// @}"
  inside = 0
}
FNR == 1 && /^\/\// { print "/// @file" }
/^\/\/ ---- / {
  leave_section()
  title = $0
  sub(/^\/\/ -+ */, "", title)
  next
}
title != "" && /^\/\/ --/ {
  print "/// @name " title
  print "/// @{"
  inside = 1
  title = ""
  sub(/^\/\/ -+ */, "// ")
  if ($0 == "// ") { print ""; next }
}
/^(}  \/\/ )?namespace / { leave_section() }
/^ *\/\/( |$)/ {
  sub(/\/\//, "///")
  sub(/^\/\/\/   /, "///       ")  # indented: an example
  print
  next
}
!/^ *}/ { sub(/ +\/\/ /, "  ///< ") }
{ print }

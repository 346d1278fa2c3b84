# A header's plain comments as Doxygen's: the first ones are the file's, those on lines of their own
# belong to what follows, those behind a declaration to it. Sections, "// ---- title", become groups.
function leave_section() {
  if (inside) print "/// @}"
  inside = 0
}
FNR == 1 && /^\/\// { print "/// @file" }
/^\/\/ ---- / {
  leave_section()
  gsub(/^\/\/ -+ *|`| -+$/, "")
  print "/// @name " $0 "\n/// @{"
  inside = 1
  next
}
/^\/\/ -+$/ { $0 = "" }  # the section's rule, where it did not fit
{ sub(/^\/\/ -----+ /, "// ") }
/^(}  \/\/ )?namespace / { leave_section() }
/^ *\/\/( |$)/ {
  sub(/\/\//, "///")
  sub(/^\/\/\/   /, "///       ")  # indented: an example
  print
  next
}
!/^ *[}#]/ { sub(/ +\/\/ /, "  ///< ") }
{ print }

// Formulas for a page.
#pragma once

#include <string>

namespace gradus::examples {

// A formula as presentation MathML. Its letters stand for themselves, Greek and all signs as they
// are in Unicode; ^ and _ raise and lower what follows, one sign or a {group}; \frac{a}{b} is a
// fraction, \sqrt{a} a root, \over{a} a bar; letters side by side are one name. Throws UsageError
// where a brace has no partner or a command is not known.
std::string mathml(const std::string& formula);

}  // namespace gradus::examples

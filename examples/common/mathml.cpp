#include "examples/common/mathml.h"

#include <cctype>
#include <vector>

#include "examples/common/errors.h"
#include "examples/common/page.h"

namespace gradus::examples {
namespace {

std::string element(const std::string& name, const std::string& body) {
  return "<" + name + ">" + body + "</" + name + ">";
}

// Reads a formula from left to right; a term takes what is raised and lowered behind it.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  std::string row(char end) {
    std::string terms;
    while (at_ < text_.size() && text_[at_] != end) {
      if (text_[at_] == ' ') {
        ++at_;
        continue;
      }
      if (text_[at_] == '}') fail("an unmatched }");
      terms += scripted();
    }
    if (end) {
      if (at_ == text_.size()) fail("an unmatched {");
      ++at_;
    }
    return element("mrow", terms);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    refuse<UsageError>("mathml: ", why, ": ", text_);
  }

  // One character of UTF-8.
  std::string character() {
    std::size_t n = 1;
    while (at_ + n < text_.size() && (text_[at_ + n] & 0xc0) == 0x80) ++n;
    at_ += n;
    return text_.substr(at_ - n, n);
  }

  std::string group() {
    if (at_ == text_.size() || text_[at_] != '{') fail("a group is missing");
    ++at_;
    return row('}');
  }

  template <class Holds>
  std::string run(Holds holds) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && holds(static_cast<unsigned char>(text_[at_]))) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string command() {
    ++at_;
    const std::string name = run([](unsigned char c) { return std::isalpha(c); });
    if (name == "frac") {
      const std::string above = group();
      return element("mfrac", above + group());
    }
    if (name == "sqrt") return element("msqrt", group());
    if (name == "over") return element("mover", group() + element("mo", "¯"));
    fail("an unknown command \\" + name);
  }

  std::string term() {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '{') return group();
    if (c == '\\') return command();
    if (std::isdigit(c))
      return element("mn", run([](unsigned char d) { return std::isdigit(d) || d == '.'; }));
    if (std::isalpha(c)) return element("mi", run([](unsigned char d) { return std::isalpha(d); }));
    const std::string sign = c == '-' ? (++at_, "−") : character();
    // Greek letters name things; other signs do something.
    const bool letter =
        static_cast<unsigned char>(sign[0]) == 0xce || static_cast<unsigned char>(sign[0]) == 0xcf;
    return element(letter ? "mi" : "mo", escape(sign));
  }

  std::string scripted() {
    std::string base = term(), lowered, raised;
    while (at_ < text_.size() && (text_[at_] == '_' || text_[at_] == '^')) {
      std::string& script = text_[at_++] == '_' ? lowered : raised;
      if (at_ == text_.size()) fail("nothing to raise or lower");
      script = term();
    }
    if (!lowered.empty() && !raised.empty()) return element("msubsup", base + lowered + raised);
    if (!lowered.empty()) return element("msub", base + lowered);
    if (!raised.empty()) return element("msup", base + raised);
    return base;
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string mathml(const std::string& formula) {
  return "<math display=\"block\">" + Reader(formula).row('\0') + "</math>";
}

}  // namespace gradus::examples

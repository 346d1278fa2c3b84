// gradus-exam: each statement of two exams, computed by the library and checked by an independent
// route (docs/exam.md).
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "examples/common/errors.h"
#include "examples/common/nearest.h"
#include "examples/common/options.h"
#include "examples/common/program.h"
#include "examples/exam/show.h"

namespace gradus::exam {
namespace {

using namespace gradus::examples;

// An id, a problem with its parts (D2: D2a, D2b, ...), or a paper (D, M).
bool covers(const std::string& word, const std::string& id) {
  if (id.compare(0, word.size(), word) != 0) return false;
  return word.size() == id.size() || word.size() == 1 ||
         !std::isdigit(static_cast<unsigned char>(id[word.size()]));
}

std::vector<const Statement*> selected(const std::vector<std::string>& words) {
  std::vector<std::string> known{"D", "M"};
  for (const Statement& statement : ledger()) known.push_back(statement.id);
  for (const std::string& word : words) {
    const bool any = std::any_of(known.begin() + 2, known.end(),
                                 [&](const std::string& id) { return covers(word, id); });
    if (any && !word.empty()) continue;
    refuse<UsageError>("unknown statement ", word, hint(word, known));
  }
  std::vector<const Statement*> chosen;
  for (const Statement& statement : ledger())
    if (words.empty() || std::any_of(words.begin(), words.end(), [&](const std::string& word) {
          return covers(word, statement.id);
        }))
      chosen.push_back(&statement);
  return chosen;
}

int run(int argc, const char* const* argv) {
  std::vector<std::string> words;
  std::string device = "cpu", json_file, page_file;
  bool quick = false, verbose = false;
  Options options("gradus-exam", "Checks the statements of two exams, each by three routes",
                  Options::Kind::tool);
  options.add_words("ids", &words, "statements or problems, or D or M for a paper; all without");
  options.add_unsaved("device", &device, "where the library computes",
                      {.choices = {"cpu", "cuda", "emulated"}});
  options.add_switch("quick", &quick, "smaller sizes, the same claims");
  options.add_switch("verbose", &verbose, "every comparison");
  options.add_unsaved("json", &json_file, "write the ledger to this file");
  options.add_unsaved("report", &page_file, "write the ledger to this file, a page");
  if (!options.parse(argc, argv)) return Exit::success;
  const std::vector<const Statement*> statements = selected(words);
  const Device where = device_named(device);
  try {
    require_available(where);
  } catch (const Error& error) {
    refuse<UsageError>("--device ", error.what());
  }

  std::vector<Result> results;
  show_head(std::cout);
  for (const Statement* statement : statements) {
    results.push_back({statement, examine(*statement, where, quick)});
    show(std::cout, results.back());
    if (verbose) show_evidence(std::cout, results.back());
    std::cout << std::flush;
  }
  if (!json_file.empty()) write_file(json_file, json(results, quick).dump(1) + "\n");
  if (!page_file.empty()) write_file(page_file, html(results));
  const auto failed = std::count_if(results.begin(), results.end(),
                                    [](const Result& result) { return !result.exam.passed(); });
  std::cout << results.size() - static_cast<std::size_t>(failed) << " of " << results.size()
            << " statements hold\n";
  return failed ? 1 : Exit::success;
}

}  // namespace
}  // namespace gradus::exam

int main(int argc, char** argv) {
  return gradus::examples::run_program("gradus-exam",
                                       [&] { return gradus::exam::run(argc, argv); });
}

#include "runner/cancel_requests.h"

#include "core/file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <atomic>

namespace assay {

void request_cancel(const Workspace& workspace, const CancelRequest& request) {
  static std::atomic<int> number = 0;
  const std::string name = fmt::format("{}-{}.json", ::getpid(), number++);
  const nlohmann::json content = {{"all", request.all}, {"jobs", request.jobs}};
  write_file_atomically(workspace.cancel() / name, content.dump() + "\n");
}

std::vector<CancelRequest> take_cancel_requests(const Workspace& workspace) {
  std::vector<std::filesystem::path> files;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(workspace.cancel(), missing)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::vector<CancelRequest> requests;
  for (const std::filesystem::path& file : files) {
    const auto json = nlohmann::json::parse(read_file(file), nullptr, false);
    std::filesystem::remove(file);
    try {
      requests.push_back({json.at("all"), json.at("jobs")});
    } catch (const nlohmann::json::exception&) {
      // Not written by `request_cancel`: it asks for nothing.
    }
  }
  return requests;
}

}  // namespace assay

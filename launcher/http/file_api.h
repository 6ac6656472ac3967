// The endpoints below /v1/files and /v1/batches. Any thread; each throws ApiError.
#pragma once

#include "launcher/http/exchange.h"
#include "launcher/serve/served_model.h"

namespace terrace::file_api {

Reply add_file(const ServedModel& model, const Exchange& exchange);
Reply list_files(const ServedModel& model, const Exchange& exchange);
Reply get_file(const ServedModel& model, const Exchange& exchange);
Reply get_content(const ServedModel& model, const Exchange& exchange);
Reply delete_file(const ServedModel& model, const Exchange& exchange);
Reply create_batch(const ServedModel& model, const Exchange& exchange);
Reply list_batches(const ServedModel& model, const Exchange& exchange);
Reply get_batch(const ServedModel& model, const Exchange& exchange);
Reply cancel_batch(const ServedModel& model, const Exchange& exchange);

}  // namespace terrace::file_api

# The web page of `terrace serve` in a real browser (web_page_test.py). With TERRACE_SCREENSHOTS=FOLDER it leaves pictures there.
source "$(dirname "$0")/lib.sh"
needs_model
for program in chromium chromedriver; do
  command -v $program >/dev/null && continue
  echo "skipped: $program is not here (apt-get install chromium chromium-driver)"
  exit 77
done
exec timeout 200 python3 "$(dirname "$0")/web_page_test.py"

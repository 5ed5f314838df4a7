package tests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdForge serves the bare repositories of a directory over HTTP, as a git host
// does, and puts its address into $FORGE. Below /private it wants the password
// s3cret.
func cmdForge(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: forge <directory>")
	}
	git, err := exec.LookPath("git")
	ts.Check(err)
	backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Stderr: io.Discard, Env: []string{
		"GIT_PROJECT_ROOT=" + ts.MkAbs(args[0]), "GIT_HTTP_EXPORT_ALL=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}}
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	mux.HandleFunc("/private/", func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "s3cret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		http.StripPrefix("/private", backend).ServeHTTP(w, r)
	})
	s := httptest.NewServer(mux)
	ts.Defer(s.Close)
	ts.Setenv("FORGE", s.URL)
}

var hookFields = regexp.MustCompile(`(?s)URL: +\S+(/hooks/\S+)\n.*Secret: +(\S+)`)

// cmdHook posts a message to a webhook as a git host does, and prints the
// answer. The file is what `hop3 webhook create` printed; a commit may be in one
// too: @two.txt.
func cmdHook(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 5 {
		ts.Fatalf("usage: hook <host> <webhook> <event> <ref> <commit>")
	}
	host, event, ref, commit := args[0], args[2], args[3], args[4]
	if file, ok := strings.CutPrefix(commit, "@"); ok {
		commit = strings.TrimSpace(ts.ReadFile(file))
	}
	fields := hookFields.FindStringSubmatch(ts.ReadFile(args[1]))
	if fields == nil {
		ts.Fatalf("%s shows no webhook", args[1])
	}
	body := fmt.Sprintf(`{"ref":%q,"after":%q,"repository":{"clone_url":"file:///etc"}}`, ref, commit)
	mac := hmac.New(sha256.New, []byte(fields[2]))
	mac.Write([]byte(body))
	signature := hex.EncodeToString(mac.Sum(nil))
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", serverOf(ts).rpc, fields[1]), strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	switch host {
	case "github":
		req.Header.Set("X-GitHub-Event", event)
		req.Header.Set("X-Hub-Signature-256", "sha256="+signature)
	case "gitlab":
		req.Header.Set("X-Gitlab-Event", map[string]string{"push": "Push Hook"}[event])
		req.Header.Set("X-Gitlab-Token", fields[2])
	case "gitea":
		req.Header.Set("X-Gitea-Event", event)
		req.Header.Set("X-Gitea-Signature", signature)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d %s", resp.StatusCode, answer)
	if (resp.StatusCode == http.StatusAccepted) == neg {
		ts.Fatalf("the webhook answers %d %s", resp.StatusCode, answer)
	}
}

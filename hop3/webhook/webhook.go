// Package webhook reads the messages of git hosts: GitHub, GitLab, and Gitea
// with its kin. It says who sent one, that it is theirs, and what was pushed.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// host is how a git host writes its messages.
type host struct {
	name     string
	event    []string // headers with the kind of event, any of which tells the host
	delivery []string
	// signed checks that the message is from who knows the secret.
	signed func(get func(string) string, body, secret []byte) bool
}

// hosts is in the order in which they are looked for: Gitea and Forgejo send
// the headers of GitHub besides their own.
var hosts = []host{
	{name: "gitea", event: []string{"X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event"}, delivery: []string{"X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery"},
		signed: bySignature("", "X-Forgejo-Signature", "X-Gitea-Signature", "X-Gogs-Signature")},
	{name: "gitlab", event: []string{"X-Gitlab-Event"}, delivery: []string{"Idempotency-Key", "X-Gitlab-Event-UUID"}, signed: byToken("X-Gitlab-Token")},
	{name: "github", event: []string{"X-GitHub-Event"}, delivery: []string{"X-GitHub-Delivery"}, signed: bySignature("sha256=", "X-Hub-Signature-256")},
}

// bySignature checks an HMAC-SHA256 of the body in hexadecimal, as GitHub
// (docs.github.com, "Validating webhook deliveries") and Gitea send it.
func bySignature(prefix string, headers ...string) func(func(string) string, []byte, []byte) bool {
	return func(get func(string) string, body, secret []byte) bool {
		text, ok := strings.CutPrefix(first(get, headers), prefix)
		sent, err := hex.DecodeString(text)
		if !ok || err != nil {
			return false
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write(body)
		return hmac.Equal(sent, mac.Sum(nil))
	}
}

// byToken checks that the secret itself was sent, as GitLab does
// (docs.gitlab.com, "Webhooks").
func byToken(header string) func(func(string) string, []byte, []byte) bool {
	return func(get func(string) string, _, secret []byte) bool {
		sent, want := sha256.Sum256([]byte(get(header))), sha256.Sum256(secret)
		return subtle.ConstantTimeCompare(sent[:], want[:]) == 1
	}
}

func first(get func(string) string, headers []string) string {
	for _, h := range headers {
		if v := get(h); v != "" {
			return v
		}
	}
	return ""
}

const (
	zero      = "0000000000000000000000000000000000000000"
	maxHeader = 100 // of what is kept of a header
)

// Read checks a message's signature and returns what it tells; get returns a
// header of it. Errors are CodeInvalid for what no known host sends, and
// CodeUnauthorized for a wrong signature or none.
func Read(get func(header string) string, body []byte, secret string) (hop3.WebhookEvent, error) {
	for _, h := range hosts {
		kind := first(get, h.event)
		if kind == "" {
			continue
		}
		if secret == "" || !h.signed(get, body, []byte(secret)) {
			return hop3.WebhookEvent{}, hop3.Errorf(hop3.CodeUnauthorized, "the signature is not right")
		}
		sum := sha256.Sum256(body)
		e := hop3.WebhookEvent{Host: h.name, Delivery: cut(first(get, h.delivery)), Digest: hex.EncodeToString(sum[:]), Kind: plainKind(kind)}
		return e, readPush(&e, get("Content-Type"), body)
	}
	return hop3.WebhookEvent{}, hop3.Errorf(hop3.CodeInvalid, "this is not a message of GitHub, GitLab or Gitea")
}

// plainKind turns GitLab's "Push Hook" into GitHub's "push".
func plainKind(kind string) string {
	return cut(strings.ReplaceAll(strings.TrimSuffix(strings.ToLower(kind), " hook"), " ", "_"))
}

// readPush takes from a push what there is to know. All hosts name it alike.
func readPush(e *hop3.WebhookEvent, contentType string, body []byte) error {
	if e.Kind != "push" {
		return nil
	}
	if strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return hop3.Errorf(hop3.CodeInvalid, "the form cannot be read")
		}
		body = []byte(form.Get("payload"))
	}
	var push struct {
		Ref     string `json:"ref"`
		After   string `json:"after"`
		Deleted bool   `json:"deleted"`
	}
	if err := json.Unmarshal(body, &push); err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "the message is not the JSON of a push")
	}
	if push.Deleted {
		push.After = zero
	}
	if !strings.HasPrefix(push.Ref, "refs/") || len(push.Ref) > 1000 || !isHash(push.After) {
		return hop3.Errorf(hop3.CodeInvalid, "the message does not say what was pushed")
	}
	e.Ref, e.Commit = push.Ref, push.After
	return nil
}

func isHash(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == len(zero) && s == strings.ToLower(s)
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxHeader)], "") }

package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"testing"

	"github.com/abilian/hop3/hop3"
)

const (
	secret = "It's a Secret to Everybody"
	commit = "1234567890123456789012345678901234567890"
	push   = `{"ref":"refs/heads/main","before":"0","after":"` + commit + `","repository":{"clone_url":"https://evil.example/x.git"}}`
)

func sign(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// The vector of GitHub's documentation.
func TestGitHubVector(t *testing.T) {
	h := header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	if e, err := Read(h.Get, []byte("Hello, World!"), secret); err != nil || e.Kind != "ping" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestRead(t *testing.T) {
	form := url.Values{"payload": {push}}.Encode()
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   hop3.WebhookEvent
		code   hop3.Code
	}{
		"github": {header("X-GitHub-Event", "push", "X-GitHub-Delivery", "d1", "X-Hub-Signature-256", "sha256="+sign(secret, push)), push,
			hop3.WebhookEvent{Host: "github", Delivery: "d1", Kind: "push", Ref: "refs/heads/main", Commit: commit}, ""},
		"github, as a form": {header("X-GitHub-Event", "push", "Content-Type", "application/x-www-form-urlencoded", "X-Hub-Signature-256", "sha256="+sign(secret, form)), form,
			hop3.WebhookEvent{Host: "github", Kind: "push", Ref: "refs/heads/main", Commit: commit}, ""},
		"gitlab": {header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret, "Idempotency-Key", "k"), push,
			hop3.WebhookEvent{Host: "gitlab", Delivery: "k", Kind: "push", Ref: "refs/heads/main", Commit: commit}, ""},
		"gitlab, a tag": {header("X-Gitlab-Event", "Tag Push Hook", "X-Gitlab-Token", secret), "{}",
			hop3.WebhookEvent{Host: "gitlab", Kind: "tag_push"}, ""},
		"gitea": {header("X-Gitea-Event", "push", "X-GitHub-Event", "push", "X-Gitea-Signature", sign(secret, push), "X-Gitea-Delivery", "g"), push,
			hop3.WebhookEvent{Host: "gitea", Delivery: "g", Kind: "push", Ref: "refs/heads/main", Commit: commit}, ""},
		"forgejo": {header("X-Forgejo-Event", "push", "X-Gitea-Event", "push", "X-Forgejo-Signature", sign(secret, push)), push,
			hop3.WebhookEvent{Host: "gitea", Kind: "push", Ref: "refs/heads/main", Commit: commit}, ""},
		"a deletion": {header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret), `{"ref":"refs/heads/x","after":"` + zero + `"}`,
			hop3.WebhookEvent{Host: "gitlab", Kind: "push", Ref: "refs/heads/x", Commit: zero}, ""},

		"no signature":               {header("X-GitHub-Event", "push"), push, hop3.WebhookEvent{}, hop3.CodeUnauthorized},
		"another secret":             {header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign("x", push)), push, hop3.WebhookEvent{}, hop3.CodeUnauthorized},
		"another body":               {header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(secret, push)), push + " ", hop3.WebhookEvent{}, hop3.CodeUnauthorized},
		"SHA-1 alone":                {header("X-GitHub-Event", "push", "X-Hub-Signature", "sha1=00"), push, hop3.WebhookEvent{}, hop3.CodeUnauthorized},
		"another token":              {header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "x"), push, hop3.WebhookEvent{}, hop3.CodeUnauthorized},
		"no token":                   {header("X-Gitlab-Event", "Push Hook"), push, hop3.WebhookEvent{}, hop3.CodeUnauthorized},
		"gitea with github's only":   {header("X-Gitea-Event", "push", "X-Hub-Signature-256", "sha256="+sign("x", push)), push, hop3.WebhookEvent{}, hop3.CodeUnauthorized},
		"nobody's":                   {header(), push, hop3.WebhookEvent{}, hop3.CodeInvalid},
		"no JSON":                    {header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret), "ref", hop3.WebhookEvent{}, hop3.CodeInvalid},
		"no reference":               {header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret), `{"after":"` + commit + `"}`, hop3.WebhookEvent{}, hop3.CodeInvalid},
		"a commit that is none":      {header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret), `{"ref":"refs/heads/x","after":"--all"}`, hop3.WebhookEvent{}, hop3.CodeInvalid},
		"a signature that is no hex": {header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256=zz"), push, hop3.WebhookEvent{}, hop3.CodeUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(c.header.Get, []byte(c.body), secret)
			if hop3.CodeOf(err) != c.code {
				t.Fatalf("%v, want code %q", err, c.code)
			}
			if err == nil {
				if len(got.Digest) != 64 {
					t.Errorf("digest %q", got.Digest)
				}
				got.Digest = ""
				if got != c.want {
					t.Errorf("%+v, want %+v", got, c.want)
				}
			}
		})
	}
	// Without a secret nothing is anybody's, not even what is signed with none.
	h := header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign("", push))
	if _, err := Read(h.Get, []byte(push), ""); hop3.CodeOf(err) != hop3.CodeUnauthorized {
		t.Errorf("got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("Push Hook", "application/json", push)
	f.Add("push", "application/x-www-form-urlencoded", "payload=%7B%7D")
	f.Fuzz(func(t *testing.T, kind, contentType, body string) {
		h := map[string]string{"X-Gitlab-Event": kind, "Content-Type": contentType, "X-Gitlab-Token": secret}
		e, err := Read(func(name string) string { return h[name] }, []byte(body), secret)
		if err == nil && e.Kind == "push" && (!isHash(e.Commit) || e.Ref == "") {
			t.Errorf("%+v", e)
		}
	})
}

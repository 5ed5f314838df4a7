package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/platform"
)

// texts calls a command and returns what its items say, or its error.
func (w *world) texts(token string, args ...string) []string {
	w.t.Helper()
	_, answer := w.post(token, request(args...))
	var resp struct {
		Result []api.Item
		Error  *api.Error
	}
	must(w.t, json.Unmarshal([]byte(answer), &resp))
	if resp.Error != nil {
		return []string{fmt.Sprintf("error %d: %s", resp.Error.Code, resp.Error.Message)}
	}
	var all []string
	for _, item := range resp.Result {
		all = append(all, item.Text)
	}
	return append(all, "") // a table has no text
}

// says checks that an answer has a text in it.
func (w *world) says(want, token string, args ...string) {
	w.t.Helper()
	if got := w.texts(token, args...)[0]; !strings.Contains(got, want) {
		w.t.Errorf("%v: %q, want %q", args, got, want)
	}
}

func TestNamedTokens(t *testing.T) {
	w := newWorld(t)
	for _, app := range []string{"blog", "shop"} {
		w.says("App '"+app+"' created", w.user, "app", "create", app)
	}
	read := w.texts(w.user, "token", "create", "dash", "--scope", "read")[0]
	blog := w.texts(w.user, "token", "create", "ci", "--scope", "app:blog", "--expires", "7d")[0]
	full := w.texts(w.admin, "token", "create", "root", "--scope", "admin")[0]
	if !strings.HasPrefix(read, "eyJ") || !strings.HasPrefix(blog, "eyJ") {
		t.Fatal(read, blog)
	}
	w.says("error 409", w.user, "token", "create", "ci")
	w.says("error -32602", w.user, "token", "create", "c", "--scope", "everything")
	w.says("error -32602", w.user, "token", "create", "c", "--expires", "soon")
	w.says("error 404", w.user, "token", "create", "c", "--scope", "app:nosuch")

	w.says("", read, "app", "status", "--app", "blog")
	w.says("error 403: This takes the role deployer", read, "app", "destroy", "--app", "blog")
	w.says("error 403: This token may not", read, "token", "create", "more")
	w.says("error 403: This token may not", blog, "key", "add", publicKey)
	w.says("error 404: App 'shop' not found", blog, "app", "status", "--app", "shop")
	w.says("error 403: You may not create", blog, "app", "create", "third")
	w.says("Username  ", full, "user", "list")
	w.says("error 403", w.user, "token", "list", "--user", "root")

	if _, answer := w.post(w.user, request("token", "list")); !strings.Contains(answer, `"ci","deploy app:blog"`) || strings.Contains(answer, "eyJ") {
		t.Errorf("the list is %s", answer)
	}
	w.says("The token 'ci' is revoked", w.admin, "token", "revoke", "ci", "--user", "alice")
	if status, _ := w.post(blog, request("apps")); status != http.StatusUnauthorized {
		t.Errorf("a revoked token: status %d", status)
	}
	w.says("", read, "apps")
	w.says("User 'alice' is disabled", w.admin, "user", "disable", "alice")
	if status, _ := w.post(read, request("apps")); status != http.StatusUnauthorized {
		t.Errorf("a disabled user's token: status %d", status)
	}
}

// totp is the code of a secret now, written down anew from RFC 6238: the code
// under test must not check itself.
func totp(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	must(t, err)
	mac := hmac.New(sha1.New, key)
	must(t, binary.Write(mac, binary.BigEndian, time.Now().Unix()/30))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

// secondFactor gives the user of a token a second factor, and returns its
// recovery codes.
func (w *world) secondFactor(token string) []string {
	w.t.Helper()
	secret, _ := strings.CutPrefix(w.texts(token, "auth", "totp", "enable")[0], "Secret: ")
	answers := w.texts(token, "auth", "totp", "confirm", totp(w.t, secret))
	if len(answers) < 2 {
		w.t.Fatal(answers)
	}
	return strings.Fields(answers[1])
}

func TestTheSecondFactor(t *testing.T) {
	w := newWorld(t)
	secret, _ := strings.CutPrefix(w.texts(w.user, "auth", "totp", "enable")[0], "Secret: ")
	w.says("eyJ", "", "auth", "get-token", "alice", password) // nothing is asked before it is confirmed
	w.says("error -32602: The code is not right", w.user, "auth", "totp", "confirm", "abcdef")
	code := totp(t, secret)
	answers := w.texts(w.user, "auth", "totp", "confirm", code)
	if len(answers) < 2 {
		t.Fatal(answers)
	}
	recovery := strings.Fields(answers[1])
	if len(recovery) != 8 {
		t.Fatalf("recovery codes: %v", answers)
	}
	w.says(api.CodeNeeded, "", "auth", "get-token", "alice", password)
	w.says("The code is not right, or was used before", "", "auth", "get-token", "alice", password, code)
	w.says("eyJ", "", "auth", "get-token", "alice", password, recovery[0])

	// The client is told, and passes a code on. Logins are counted by address.
	w.server.Config.Handler = fromElsewhere{w.handler}
	t.Setenv("HOP3_CONFIG_DIR", filepath.Join(t.TempDir(), "config"))
	login := func(args ...string) (int, string) {
		var out bytes.Buffer
		args = append([]string{"login", w.server.URL, "--username", "alice", "--password-stdin"}, args...)
		return cli.Main(args, cli.Stdio{In: strings.NewReader(password + "\n"), Out: &out, Err: &out}, nil), out.String()
	}
	if code, out := login(); code != api.ExitAuth || !strings.Contains(out, api.CodeNeeded) {
		t.Errorf("without a code: %d, %s", code, out)
	}
	if code, out := login("--code", recovery[0]); code != api.ExitAuth {
		t.Errorf("with a code that was used: %d, %s", code, out)
	}
	if code, out := login("--code", recovery[1]); code != 0 || !strings.Contains(out, "as alice") {
		t.Errorf("with a code: %d, %s", code, out)
	}
	w.says("error -32602", w.user, "auth", "totp", "disable")
	w.says("error 403", w.user, "auth", "totp", "disable", "--user", "root")
	w.says("A password is enough", w.admin, "auth", "totp", "disable", "--user", "alice")
}

// fromElsewhere has each request come from another address.
type fromElsewhere struct{ http.Handler }

var elsewhere atomic.Int64

func (h fromElsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1000", elsewhere.Add(1)%250)
	h.Handler.ServeHTTP(w, r)
}

func TestLoginsAreLimitedByAccount(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	for _, name := range []string{"alice", "nobody"} {
		refused := 0
		for range 20 {
			if got := w.texts("", "auth", "get-token", name, "wrong password")[0]; strings.HasPrefix(got, "Too many") {
				refused++
			}
		}
		if refused != 5 {
			t.Errorf("%d of 20 tries as %s were refused", refused, name)
		}
	}
	w.says("Too many login attempts", "", "auth", "get-token", "alice", password)
	w.says("eyJ", "", "auth", "get-token", "root", password)
}

func TestMagicLinks(t *testing.T) {
	w := newWorld(t)
	w.says("error 403", w.user, "auth", "magic-link", "root")
	link := w.texts(w.admin, "auth", "magic-link", "alice")[0]
	if status, _ := w.post(link, request("apps")); status != http.StatusUnauthorized {
		t.Errorf("a link is taken for a token: %d", status)
	}
	w.says("The link is not valid", "", "auth", "redeem", w.user)
	t.Setenv("HOP3_CONFIG_DIR", filepath.Join(t.TempDir(), "config"))
	login := func() (int, string) {
		var out bytes.Buffer
		return cli.Main([]string{"login", w.server.URL + "?magic=" + link}, cli.Stdio{In: strings.NewReader(""), Out: &out, Err: &out}, nil), out.String()
	}
	if code, out := login(); code != 0 || !strings.Contains(out, "as alice") {
		t.Errorf("a link: %d, %s", code, out)
	}
	if code, out := login(); code != api.ExitAuth || !strings.Contains(out, "was used before") {
		t.Errorf("a link that was used: %d, %s", code, out)
	}
}

// Whoever changes a password, or a second factor, ends the logins of before, not
// the tokens with a name; and they keep the login they do it with.
func TestLoginsEnd(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	named := w.texts(w.user, "token", "create", "ci")
	ci := named[slices.IndexFunc(named, func(s string) bool { return strings.HasPrefix(s, "eyJ") })]
	login := func() string { return w.texts("", "auth", "get-token", "alice", password)[0] }
	holds := func(what, token string, want bool) {
		t.Helper()
		if status, answer := w.post(token, request("whoami")); (status == http.StatusOK) != want {
			t.Errorf("%s: status %d, %s", what, status, answer)
		}
	}
	link := w.texts(w.admin, "auth", "magic-link", "alice")[0]
	w.says("Password of 'alice' changed", w.admin, "user", "set-password", "alice", password)
	holds("a login of before", w.user, false)
	holds("a named token", ci, true)
	holds("the administrator's own", w.admin, true)
	w.says("The link is not valid", "", "auth", "redeem", link)

	mine, other := login(), login()
	holds("a login of after, at once", mine, true)
	u, token, err := w.platform.Authenticate(t.Context(), mine)
	must(t, err)
	must(t, w.platform.SetPassword(t.Context(), command.ActorOf(u, token), "alice", password))
	holds("that which changed the password", mine, true)
	holds("another one", other, false)

	other = login()
	w.secondFactor(mine)
	holds("that which set up the second factor", mine, true)
	holds("one without the second factor", other, false)
	w.says("A password is enough", w.admin, "auth", "totp", "disable", "--user", "alice")
	holds("one with the second factor that was taken away", mine, false)

	mine = login()
	w.says("User 'alice' is disabled", w.admin, "user", "disable", "alice")
	holds("a disabled user's login", mine, false)
	holds("a disabled user's token", ci, false)
	w.says("User 'alice' is enabled", w.admin, "user", "enable", "alice")
	holds("a login of before", mine, false)
	holds("a token, enabled again", ci, true)
	w.says("Password of 'alice' changed", w.admin, "user", "set-password", "alice", password, "--tokens")
	holds("a token, when it was asked to end", ci, false)
}

// A link does not get around the second factor, and stays good until somebody
// has that.
func TestALinkAsksForTheSecondFactor(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	recovery := w.secondFactor(w.user)
	link := w.texts(w.admin, "auth", "magic-link", "alice")[0]
	w.says(api.CodeNeeded, "", "auth", "redeem", link)
	w.says("The code is not right", "", "auth", "redeem", link, "000000")
	w.says("eyJ", "", "auth", "redeem", link, recovery[0])
	w.says("The link is not valid, was used before", "", "auth", "redeem", link, recovery[1])
	w.says("The code is not right", "", "auth", "redeem", w.texts(w.admin, "auth", "magic-link", "alice")[0], recovery[0])
}

// Who loses rights loses what is open, too.
func TestStreamsEndWithRights(t *testing.T) {
	w := deployed(t)
	host := platform.Actor{Username: "host", Admin: true}
	for name, lose := range map[string]func() error{
		"removed from the team": func() error {
			return w.platform.SetMember(t.Context(), host, hop3.DefaultTeam, hop3.Member{Username: "alice"})
		},
		"disabled": func() error { return w.platform.SetActive(t.Context(), host, "alice", false) },
	} {
		must(t, w.platform.SetActive(t.Context(), host, "alice", true))
		must(t, w.platform.SetMember(t.Context(), host, hop3.DefaultTeam, hop3.Member{Username: "alice", Role: hop3.RoleDeployer}))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/api/apps/blog/logs/stream", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+w.user)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", name, resp.StatusCode)
		}
		must(t, lose())
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		}
		if ctx.Err() != nil {
			t.Errorf("%s: the stream went on", name)
		}
		resp.Body.Close()
		cancel()
	}
}

// A token that was narrowed does not follow what its owner may see.
func TestANarrowedTokenFollowsItsEventsOnly(t *testing.T) {
	w := newWorld(t)
	alice := platform.Actor{Username: "alice"}
	for _, app := range []string{"blog", "shop"} {
		_, err := w.platform.CreateApp(t.Context(), alice, app)
		must(t, err)
	}
	token := w.texts(w.admin, "token", "create", "ci", "--scope", "app:blog")[0]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/api/events?lines=100", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	blogs := 0
	for lines.Scan() && !strings.Contains(lines.Text(), "token.issued") {
		if strings.Contains(lines.Text(), `"app":"shop"`) {
			t.Errorf("it is told %s", lines.Text())
		}
		if strings.Contains(lines.Text(), `"app":"blog"`) {
			blogs++
		}
	}
	if blogs == 0 {
		t.Error("it is not told of its own app")
	}
}

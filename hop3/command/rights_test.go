package command

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// caller is a column of the matrix.
type caller struct {
	name  string
	user  *hop3.User
	token hop3.Token
}

// callers makes the apps blog and shop, and the users whose rights on blog the
// matrix tells. All but the administrators are out of the default team.
func callers(t *testing.T, c *Commands) []caller {
	t.Helper()
	ctx, db := t.Context(), c.server.Platform.Store
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.CreateTeam(ctx, "others"))
	must(db.CreateApp(ctx, hop3.App{Name: "blog"}))
	must(db.CreateApp(ctx, hop3.App{Name: "shop", Team: "others"}))
	user := func(name string, admin, active bool) *hop3.User {
		u := hop3.User{Username: name, Admin: admin, Active: true}
		must(db.CreateUser(ctx, u))
		if !admin && active {
			must(db.SetMember(ctx, hop3.DefaultTeam, hop3.Member{Username: name}))
		}
		return &u
	}
	viewer, other, keeper := user("viewer", false, true), user("other", false, true), user("keeper", false, true)
	must(db.SetGrant(ctx, hop3.Grant{App: "blog", User: "viewer", Role: hop3.RoleViewer}))
	must(db.SetMember(ctx, "others", hop3.Member{Username: "other", Role: hop3.RoleDeployer}))
	must(db.SetGrant(ctx, hop3.Grant{App: "blog", User: "keeper", Role: hop3.RoleAdmin}))
	deployer, admin := user("deployer", false, false), user("root", true, false)
	token := func(words ...string) hop3.Token {
		scope, err := hop3.ParseScope(words)
		must(err)
		return hop3.Token{ID: "api.x", Scope: scope, Expires: time.Now().Add(time.Hour)}
	}
	return []caller{
		{name: "anonymous"},
		{name: "viewer", user: viewer},
		{name: "other", user: other},
		{name: "deployer", user: deployer},
		{name: "keeper", user: keeper},
		{name: "admin", user: admin},
		{name: "admin/read", user: admin, token: token("read")},
		{name: "admin/deploy", user: admin, token: token("deploy")},
		{name: "admin/shop", user: admin, token: token("admin", "app:shop")},
	}
}

// TestWhoMayCallWhat compares who may call each command, about the app blog
// where it is about one, with testdata/rights.golden; -update writes that anew.
// "other" is a deployer of another app, "keeper" has the role admin on blog;
// what follows a slash is the scope of the caller's token. RPC, the console
// and SSH all come through Run and Attach.
func TestWhoMayCallWhat(t *testing.T) {
	c := newCommands(t)
	columns := callers(t, c)
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s %-10s", "", "takes")
	for _, who := range columns {
		fmt.Fprintf(&b, " %-12s", who.name)
	}
	line := func(name string, takes Who, args []string) {
		fmt.Fprintf(&b, "\n%-34s %-10s", name, takes)
		for _, who := range columns {
			_, err := c.Run(t.Context(), Request{Args: args, User: who.user, Token: who.token})
			_, attached := c.Attach(t.Context(), Request{Args: args, User: who.user, Token: who.token}, Console{})
			if hop3.CodeOf(err) != hop3.CodeOf(attached) {
				t.Errorf("%v as %s: %v at once, %v at a console", args, who.name, err, attached)
			}
			answer := string(hop3.CodeOf(err))
			if err == nil {
				answer = "yes"
			}
			fmt.Fprintf(&b, " %-12s", answer)
		}
	}
	for _, name := range c.names {
		cmd := c.byName[name]
		// Whoever gets that far may do it: the command itself does nothing here.
		cmd.Run = func(context.Context, *Call) ([]api.Item, error) { return nil, nil }
		cmd.Attach = func(context.Context, *Call, Console) (int, error) { return 0, nil }
		args := strings.Fields(name)
		if cmd.App == NeedsApp || cmd.Who.role() != hop3.RoleNone || cmd.Who == Creator {
			args = append(args, "--app", "blog")
		}
		line(name, cmd.Who, slices.Concat(args, slices.Repeat([]string{"x"}, cmd.Min)))
		for _, f := range cmd.Flags {
			if f.Who != undeclared {
				line(name+" --"+f.Name, f.Who, slices.Concat(args, []string{"--" + f.Name}, slices.Repeat([]string{"x"}, cmd.Min)))
			}
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	golden(t, "rights.golden", strings.Join(lines, "\n")+"\n")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Split(string(want), "\n")
	for i, l := range strings.Split(got, "\n") {
		if i >= len(have) || have[i] != l {
			t.Errorf("%s, line %d (-update writes it anew):\n%s", path, i+1, l)
		}
	}
	if n := strings.Count(got, "\n"); len(have) > n+1 {
		t.Errorf("%s has %d lines too many", path, len(have)-n-1)
	}
}

func TestARowWithoutADeclarationPanics(t *testing.T) {
	c := newCommands(t)
	for _, row := range []Command{{Name: "free for all"}, {Name: "lost", Who: Deployer}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is taken", row.Name)
				}
			}()
			c.add(row)
		}()
	}
}

// Who may not see an app learns no more of it than of one that is not there.
func TestAnInvisibleAppIsNotFound(t *testing.T) {
	c := newCommands(t)
	other := callers(t, c)[2]
	said := func(app string) string {
		_, err := c.Run(t.Context(), Request{Args: []string{"app", "status", "--app", app}, User: other.user})
		return strings.ReplaceAll(fmt.Sprintf("%s %T %v", hop3.CodeOf(err), err, err), app, "NAME")
	}
	if one, none := said("blog"), said("blag"); one != none || !strings.Contains(one, "not_found") {
		t.Errorf("of blog: %s\nof none: %s", one, none)
	}
	items, err := c.Run(t.Context(), Request{Args: []string{"apps"}, User: other.user})
	if err != nil || len(items) != 1 || len(items[0].Rows) != 1 || items[0].Rows[0][0] != "shop" {
		t.Errorf("apps: %+v, %v", items, err)
	}
}

package platform

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// unasked are the verbs that take no Actor, and why none is needed.
var unasked = map[string]string{
	"Authenticate": "says who somebody is", "AuthenticateKey": "says who somebody is", "Login": "says who somebody is", "RedeemMagicLink": "says who somebody is",
	"Begin": "the server itself", "Go": "the server itself", "Interrupt": "the server itself", "EndFollowing": "the server itself", "Quiet": "the server itself",
	"Reconcile": "the server itself", "Shutdown": "the server itself", "StopAll": "the server itself", "Wake": "the router",
	"Logout":  "who has a token may end it",
	"Webhook": "checks the address's own secret", "Deliver": "its caller checked the signature", "WebhookURL": "reads nothing",
	"CheckConfig": "reads what it is given", "MigrateProcfile": "reads what it is given", "ConfigSchema": "reads nothing", "HashPassword": "reads what it is given",
	"Networks": "everybody may name a network in a hop3.toml", "ReconcileBans": "changes nothing that is stored", "SaveBan": "the firewall",
	"Figures": "the server's own figures", "Deploys": "the server's own figures", "LogDir": "reads nothing", "WhyURL": "reads nothing", "ControlURL": "reads nothing",
	"SignIn": "says who somebody is", "BeginSignOn": "says who somebody is", "BeginWebLogin": "says who somebody is", "AwaitWebLogin": "says who somebody is",
	"CertificateOutcome": "the keeper of certificates", "Revealed": "notes what its caller showed", "RefusedDelivery": "notes what was refused",
	"AddonTypes": "says what the server has",
	"Arrival":    "checks the secret of the server that asks", "Relayed": "checks a secret",
	"WaitForCertificates": "its hosts are those of a domain change",
}

// A verb without an Actor could be called for anybody.
func TestEveryVerbTakesTheCaller(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() || receiver(f) != "Platform" || unasked[f.Name.Name] != "" {
				continue
			}
			seen++
			named := slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool {
				kind, _ := p.Type.(*ast.Ident)
				return kind != nil && kind.Name == "Actor" && len(p.Names) == 1 && p.Names[0].Name != "_"
			})
			if !named {
				t.Errorf("the verb %s takes no Actor, or does not look at it", f.Name.Name)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d verbs were found", seen)
	}
}

func receiver(f *ast.FuncDecl) string {
	star, _ := f.Recv.List[0].Type.(*ast.StarExpr)
	if star == nil {
		return ""
	}
	name, _ := star.X.(*ast.Ident)
	return name.Name
}

// Whatever a front door lets through, the verbs refuse: each that is about an
// app is called, with nothing else, by who may not see it, and by who may only
// see it.
func TestEveryVerbRefuses(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	for _, name := range []string{"stranger", "viewer"} {
		w.must(w.Store.CreateUser(t.Context(), hop3.User{Username: name, Active: true}))
		w.must(w.Store.SetMember(t.Context(), hop3.DefaultTeam, hop3.Member{Username: name}))
	}
	w.must(w.Store.SetGrant(t.Context(), hop3.Grant{App: "blog", User: "viewer", Role: hop3.RoleViewer}))
	reads := strings.Fields("BackupList Addons AppAccess AppStatus Authorize FirewallEvents Canary CronEntries CronLog CronRuns Deliveries DeployLog Diff Env EnvOrigins HTTP LastDeploy Logs Previews Redeployable Releases Certificates FailedRequests Top Why Contents")
	verbs := reflect.TypeFor[*Platform]()
	asked := 0
	for i := range verbs.NumMethod() {
		m := verbs.Method(i)
		for name, want := range map[string]hop3.Code{"stranger": hop3.CodeNotFound, "viewer": hop3.CodeForbidden} {
			if name == "viewer" && slices.Contains(reads, m.Name) {
				continue
			}
			if m.Name == "CreateApp" || m.Name == "CreateFromSource" || m.Name == "AuthorizeCreate" || m.Name == "Deploy" || m.Name == "Plan" || m.Name == "BeginPush" || m.Name == "ReceiveApp" {
				want = hop3.CodeForbidden // they may make none, of whatever name
			}
			if m.Name == "RemoveNotifyTarget" || m.Name == "TestNotifyTarget" || m.Name == "CancelReceive" {
				want = hop3.CodeNotFound // the name is a target's, or of what is to come, and there is none
			}
			about, err := w.call(m, Actor{Username: name}, "blog")
			if !about {
				continue
			}
			asked++
			if hop3.CodeOf(err) != want {
				t.Errorf("%s by a %s: %v, want %s", m.Name, name, err, want)
			}
		}
	}
	if asked < 60 {
		t.Errorf("only %d calls were made", asked)
	}
	w.serves(1)
}

// notAboutApps are the verbs whose first text is not the name of an app.
var notAboutApps = strings.Fields("ChangePassword BackupDetails FindBackup DestroyBackup RegisterBackup VerifyBackup AddNetwork CreateAddon DestroyAddon FindAddon RotateAddon Network RemoveNetwork AddKey AddUser APITokens CheckProxy ConfirmSecondFactor CreateTeam CreateToken DisableSecondFactor IssueToken Keys MagicLink RemoveKey RemoveTeam RemoveUser RevokeToken RevokeTokens SetActive SetAdmin SetMember SetPassword SetProxy SetRole Team User BeginLink DecideWebLogin FinishSignOn Unlink WebLogin")

// call calls a verb about an app with zero values for all the rest; it reports
// false for a verb that is about none.
func (w *world) call(m reflect.Method, who Actor, app string) (about bool, err error) {
	if slices.Contains(notAboutApps, m.Name) {
		return false, nil
	}
	args := []reflect.Value{reflect.ValueOf(w.Platform)}
	for i := 1; i < m.Type.NumIn(); i++ {
		v := reflect.New(m.Type.In(i)).Elem()
		switch v.Type() {
		case reflect.TypeFor[context.Context]():
			v.Set(reflect.ValueOf(w.t.Context()))
		case reflect.TypeFor[Actor]():
			v.Set(reflect.ValueOf(who))
		case reflect.TypeFor[hop3.Output]():
			v.Set(reflect.ValueOf(w.out))
		case reflect.TypeFor[hop3.Role]():
			v.Set(reflect.ValueOf(hop3.RoleDeployer))
		case reflect.TypeFor[hop3.OneOff]():
			v.Set(reflect.ValueOf(hop3.OneOff{Args: []string{"true"}}))
		case reflect.TypeFor[DeployRequest]():
			v.Set(reflect.ValueOf(w.request("two")))
			about = true
		case reflect.TypeFor[SourceRequest]():
			v.Set(reflect.ValueOf(SourceRequest{App: app, Address: "https://example.com/a.git", Out: w.out}))
			about = true
		case reflect.TypeFor[hop3.Grant]():
			v.Set(reflect.ValueOf(hop3.Grant{App: app, User: "bob", Role: hop3.RoleAdmin}))
			about = true
		case reflect.TypeFor[string]():
			if !about && i > 1 && m.Type.In(i-1) == reflect.TypeFor[Actor]() {
				v.SetString(app)
				about = true
			}
		}
		args = append(args, v)
	}
	if !about {
		return false, nil
	}
	out := m.Func.Call(args)
	err, _ = out[len(out)-1].Interface().(error)
	return true, err
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestRoles(t *testing.T) {
	w := newWorld(t)
	w.deployed("one")
	ctx := t.Context()
	role := func(name string) hop3.Role {
		t.Helper()
		app, err := w.Store.App(ctx, "blog")
		w.must(err)
		r, err := w.Store.Rights(ctx, name)
		w.must(err)
		return r.On(app)
	}
	want := func(what string, name string, r hop3.Role) {
		t.Helper()
		if got := role(name); got != r {
			t.Errorf("%s: %s is %s, want %s", what, name, got, r)
		}
	}
	want("a server with one team", "bob", hop3.RoleDeployer)
	w.must(w.Store.SetMember(ctx, hop3.DefaultTeam, hop3.Member{Username: "bob"}))
	want("out of the team", "bob", hop3.RoleNone)
	w.must(w.Store.CreateTeam(ctx, "press"))
	w.must(w.Store.SetMember(ctx, "press", hop3.Member{Username: "bob", Role: hop3.RoleViewer}))
	want("in another team", "bob", hop3.RoleNone)
	w.must(w.Store.SetGrant(ctx, hop3.Grant{App: "blog", Team: "press", Role: hop3.RoleDeployer}))
	want("a grant to a team gives a member no more than the member is", "bob", hop3.RoleViewer)
	w.must(w.Store.SetGrant(ctx, hop3.Grant{App: "blog", User: "bob", Role: hop3.RoleAdmin}))
	want("a grant", "bob", hop3.RoleAdmin)
	w.must(w.SetActive(ctx, Actor{Admin: true}, "bob", false))
	want("disabled", "bob", hop3.RoleNone)
	w.must(w.SetActive(ctx, Actor{Admin: true}, "bob", true))
	w.must(w.Grant(ctx, Actor{Username: "bob"}, hop3.Grant{App: "blog", User: "bob"}))
	want("back to the team's", "bob", hop3.RoleViewer)
	w.must(w.SetRole(ctx, Actor{Admin: true}, "bob", hop3.RoleDeployer))
	want("on every app", "bob", hop3.RoleDeployer)
	if err := w.RemoveTeam(ctx, Actor{Admin: true}, hop3.DefaultTeam); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("removing the default team: %v", err)
	}
	w.must(w.TransferApp(ctx, Actor{Admin: true}, "blog", "press"))
	want("transferred", "alice", hop3.RoleNone)
	if err := w.RemoveTeam(ctx, Actor{Admin: true}, "press"); hop3.CodeOf(err) != hop3.CodeConflict {
		t.Errorf("removing a team with an app: %v", err)
	}
	if err := w.may(ctx, alice, "blog", hop3.RoleViewer); fmt.Sprint(err) != "App 'blog' not found." {
		t.Errorf("alice is told %v", err)
	}
}

// A member who is told to make an app makes it in a team of theirs.
func TestTheTeamOfANewApp(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.Store.CreateTeam(ctx, "press"))
	w.must(w.Store.SetMember(ctx, "press", hop3.Member{Username: "bob", Role: hop3.RoleDeployer}))
	team := func(name string, who Actor) string {
		t.Helper()
		app, err := w.CreateApp(ctx, who, name)
		if err != nil {
			return string(hop3.CodeOf(err))
		}
		return app.Team
	}
	bob := Actor{Username: "bob"}
	if got := team("one", bob); got != hop3.DefaultTeam {
		t.Errorf("in both: %s", got)
	}
	w.must(w.Store.SetMember(ctx, hop3.DefaultTeam, hop3.Member{Username: "bob"}))
	if got := team("two", bob); got != "press" {
		t.Errorf("in press: %s", got)
	}
	if got := team("one", bob); got != string(hop3.CodeConflict) {
		t.Errorf("a name that is taken: %s", got)
	}
	w.must(w.Store.SetMember(ctx, "press", hop3.Member{Username: "bob", Role: hop3.RoleViewer}))
	if got := team("three", bob); got != string(hop3.CodeForbidden) {
		t.Errorf("a viewer: %s", got)
	}
	if _, err := w.Deploy(ctx, bob, DeployRequest{App: "three", Out: w.out}); hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Errorf("a viewer's deploy: %v", err)
	}
	read := hop3.Scope{Role: hop3.RoleDeployer, Apps: []string{"four"}}
	scoped := UserActor(hop3.User{Username: "alice"}, read)
	if got := team("five", scoped); got != string(hop3.CodeForbidden) {
		t.Errorf("out of the scope: %s", got)
	}
	if got := team("four", scoped); got != hop3.DefaultTeam {
		t.Errorf("in the scope: %s", got)
	}
}

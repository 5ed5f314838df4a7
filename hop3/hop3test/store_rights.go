package hop3test

import (
	"context"
	"time"

	"github.com/abilian/hop3/hop3"
)

// RightsDatabase is the part of a Database that knows who may do what.
type RightsDatabase interface {
	Rights(ctx context.Context, username string) (hop3.Rights, error)
	Grants(ctx context.Context, app string) ([]hop3.Grant, error)
	SetGrant(ctx context.Context, g hop3.Grant, events ...hop3.Event) error
	TransferApp(ctx context.Context, app, team string, events ...hop3.Event) error
	Teams(ctx context.Context) ([]hop3.Team, error)
	CreateTeam(ctx context.Context, name string, events ...hop3.Event) error
	DeleteTeam(ctx context.Context, name string, events ...hop3.Event) error
	SetMember(ctx context.Context, team string, m hop3.Member, events ...hop3.Event) error

	APITokens(ctx context.Context, username string) ([]hop3.APIToken, error)
	APIToken(ctx context.Context, id string) (hop3.APIToken, error)
	AddAPIToken(ctx context.Context, t hop3.APIToken, events ...hop3.Event) error
	RemoveAPIToken(ctx context.Context, username, name string, events ...hop3.Event) error
	TokenUsed(ctx context.Context, id string, at time.Time) error
}

func (s *storeStory) teamsAndGrants() {
	user := func(name string) {
		s.ok(s.db.CreateUser(s.ctx, hop3.User{Username: name, Active: true}))
	}
	user("ada")
	user("Bob")
	s.ok(s.db.CreateTeam(s.ctx, "press"))
	s.fails(s.db.CreateTeam(s.ctx, "press"), hop3.CodeConflict, "Team 'press' already exists.")
	s.ok(s.db.SetMember(s.ctx, "press", hop3.Member{Username: "ada", Role: hop3.RoleAdmin}))
	s.ok(s.db.SetMember(s.ctx, "press", hop3.Member{Username: "ada", Role: hop3.RoleViewer}))
	s.fails(s.db.SetMember(s.ctx, "press", hop3.Member{Username: "eve", Role: hop3.RoleViewer}), hop3.CodeNotFound, "User 'eve' not found.")
	s.fails(s.db.SetMember(s.ctx, "pross", hop3.Member{Username: "ada", Role: hop3.RoleViewer}), hop3.CodeNotFound, "Team 'pross' not found.")
	s.fails(s.db.SetMember(s.ctx, "press", hop3.Member{Username: "Bob"}), hop3.CodeNotFound, "User 'Bob' is not in team 'press'.")
	teams, err := s.connect().Teams(s.ctx)
	s.ok(err)
	s.same(len(teams), 2)
	s.same(teams[0].Name, hop3.DefaultTeam)
	s.same(teams[0].Members, []hop3.Member{{Username: "Bob", Role: hop3.RoleDeployer}, {Username: "ada", Role: hop3.RoleDeployer}})
	s.same(teams[1].Members, []hop3.Member{{Username: "ada", Role: hop3.RoleViewer}})

	s.fails(s.db.CreateApp(s.ctx, hop3.App{Name: "blog", Team: "pross"}), hop3.CodeNotFound, "Team 'pross' not found.")
	s.ok(s.db.CreateApp(s.ctx, hop3.App{Name: "blog", Team: "press"}))
	s.same(hop3.CodeOf(s.db.DeleteTeam(s.ctx, "press")), hop3.CodeConflict)
	s.ok(s.db.TransferApp(s.ctx, "blog", hop3.DefaultTeam))
	s.fails(s.db.TransferApp(s.ctx, "blog", "pross"), hop3.CodeNotFound, "Team 'pross' not found.")
	s.fails(s.db.TransferApp(s.ctx, "blag", "press"), hop3.CodeNotFound, "App 'blag' not found.")
	_, err = s.db.UpdateApp(s.ctx, "blog", func(a *hop3.App) error { a.Team = "press"; return nil })
	s.ok(err)
	app, err := s.db.App(s.ctx, "blog")
	s.ok(err)
	s.same(app.Team, hop3.DefaultTeam) // only a transfer moves it

	s.ok(s.db.SetGrant(s.ctx, hop3.Grant{App: "blog", Team: "press", Role: hop3.RoleAdmin}))
	s.ok(s.db.SetGrant(s.ctx, hop3.Grant{App: "blog", User: "Bob", Role: hop3.RoleAdmin}))
	s.fails(s.db.SetGrant(s.ctx, hop3.Grant{App: "blog", User: "eve", Role: hop3.RoleAdmin}), hop3.CodeNotFound, "User 'eve' not found.")
	s.fails(s.db.SetGrant(s.ctx, hop3.Grant{App: "blag", User: "ada", Role: hop3.RoleAdmin}), hop3.CodeNotFound, "App 'blag' not found.")
	s.fails(s.db.SetGrant(s.ctx, hop3.Grant{App: "blog", User: "ada"}), hop3.CodeNotFound, "'ada' was granted nothing on app 'blog'.")
	grants, err := s.db.Grants(s.ctx, "blog")
	s.ok(err)
	s.same(grants, []hop3.Grant{{App: "blog", User: "Bob", Role: hop3.RoleAdmin}, {App: "blog", Team: "press", Role: hop3.RoleAdmin}})

	rights, err := s.db.Rights(s.ctx, "ada")
	s.ok(err)
	s.same(rights, hop3.Rights{
		Teams: map[string]hop3.Role{hop3.DefaultTeam: hop3.RoleDeployer, "press": hop3.RoleViewer},
		Apps:  map[string]hop3.Role{"blog": hop3.RoleViewer}, // the team's grant, as far as ada is in the team
	})
	none, err := s.db.Rights(s.ctx, "eve")
	s.ok(err)
	s.same(none, hop3.Rights{})
	_, err = s.db.UpdateUser(s.ctx, "Bob", func(u *hop3.User) error { u.Active = false; return nil })
	s.ok(err)
	none, err = s.db.Rights(s.ctx, "Bob")
	s.ok(err)
	s.same(none, hop3.Rights{})

	s.ok(s.db.DeleteTeam(s.ctx, "press"))
	s.ok(s.db.DeleteUser(s.ctx, "Bob"))
	grants, err = s.db.Grants(s.ctx, "blog")
	s.ok(err)
	s.same(len(grants), 0)
}

func (s *storeStory) apiTokens() {
	s.ok(s.db.CreateUser(s.ctx, hop3.User{Username: "ada"}))
	made := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	t := hop3.APIToken{ID: "api.1", Username: "ada", Name: "ci", CreatedAt: made, Expires: made.Add(time.Hour),
		Scope: hop3.Scope{Role: hop3.RoleDeployer, Apps: []string{"blog", "shop"}}}
	s.ok(s.db.AddAPIToken(s.ctx, t))
	s.fails(s.db.AddAPIToken(s.ctx, hop3.APIToken{ID: "api.2", Username: "ada", Name: "ci", Scope: hop3.FullScope}), hop3.CodeConflict, "There is a token 'ci' already.")
	s.fails(s.db.AddAPIToken(s.ctx, hop3.APIToken{ID: "api.2", Username: "eve", Name: "ci", Scope: hop3.FullScope}), hop3.CodeNotFound, "User 'eve' not found.")
	got, err := s.connect().APIToken(s.ctx, "api.1")
	s.ok(err)
	s.same(got, t)
	used := made.Add(time.Minute)
	s.ok(s.db.TokenUsed(s.ctx, "api.1", used))
	s.ok(s.db.TokenUsed(s.ctx, "api.1", made))
	s.ok(s.db.TokenUsed(s.ctx, "api.9", made))
	all, err := s.db.APITokens(s.ctx, "ada")
	s.ok(err)
	t.LastUsed = used
	s.same(all, []hop3.APIToken{t})
	s.ok(s.db.RemoveAPIToken(s.ctx, "ada", "ci"))
	s.fails(s.db.RemoveAPIToken(s.ctx, "ada", "ci"), hop3.CodeNotFound, "There is no token 'ci'.")
	_, err = s.db.APIToken(s.ctx, "api.1")
	s.fails(err, hop3.CodeNotFound, "There is no such token.")
	s.ok(s.db.AddAPIToken(s.ctx, t))
	s.ok(s.db.DeleteUser(s.ctx, "ada"))
	_, err = s.db.APIToken(s.ctx, "api.1")
	s.fails(err, hop3.CodeNotFound, "There is no such token.")
}

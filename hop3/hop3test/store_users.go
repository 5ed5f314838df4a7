package hop3test

import (
	"reflect"
	"time"

	"github.com/abilian/hop3/hop3"
)

func (s *storeStory) usersAndKeys() {
	var u hop3.User
	s.fill(reflect.ValueOf(&u).Elem())
	u.Username = "ada"
	s.ok(s.db.CreateUser(s.ctx, u))
	got, err := s.db.User(s.ctx, "ada")
	s.ok(err)
	s.same(got, u)
	s.fails(s.db.CreateUser(s.ctx, hop3.User{Username: "ada"}), hop3.CodeConflict, "User 'ada' already exists.")
	s.ok(s.db.CreateUser(s.ctx, hop3.User{Username: "Bob"}))

	var k hop3.Key
	s.fill(reflect.ValueOf(&k).Elem())
	k.Username, k.Fingerprint = "ada", "SHA256:one"
	s.ok(s.db.AddKey(s.ctx, k))
	gotKey, err := s.db.Key(s.ctx, "SHA256:one")
	s.ok(err)
	s.same(gotKey, k)
	s.fails(s.db.AddKey(s.ctx, hop3.Key{Username: "Bob", Fingerprint: "SHA256:one"}),
		hop3.CodeConflict, "Key SHA256:one already belongs to user 'ada'.")
	s.fails(s.db.AddKey(s.ctx, hop3.Key{Username: "eve", Fingerprint: "SHA256:two"}),
		hop3.CodeNotFound, "User 'eve' not found.")
	s.ok(s.db.AddKey(s.ctx, hop3.Key{Username: "Bob", Fingerprint: "SHA256:two"}))
	s.ok(s.db.RemoveKey(s.ctx, "SHA256:two"))
	keys, err := s.connect().Keys(s.ctx)
	s.ok(err)
	s.same(keys, []hop3.Key{k})

	_, err = s.db.UpdateUser(s.ctx, "ada", func(u *hop3.User) error {
		u.Username, u.LoginCount, u.Active, u.LastLogin = "root", u.LoginCount+1, false, time.Time{}
		return nil
	})
	s.ok(err)
	u.LoginCount, u.Active, u.LastLogin = u.LoginCount+1, false, time.Time{}
	users, err := s.db.Users(s.ctx)
	s.ok(err)
	s.same(len(users), 2)
	s.same(users[0].Username, "Bob")
	s.same(users[1], u)

	s.ok(s.db.DeleteUser(s.ctx, "ada"))
	keys, err = s.db.Keys(s.ctx)
	s.ok(err)
	s.same(len(keys), 0)
}

func (s *storeStory) tokens() {
	const id = "3f0c"
	revoked := func(id string) bool {
		s.Helper()
		yes, err := s.db.TokenRevoked(s.ctx, id)
		s.ok(err)
		return yes
	}
	s.same(revoked(id), false)
	s.ok(s.db.RevokeToken(s.ctx, id, time.Now().Add(24*time.Hour)))
	s.ok(s.db.RevokeToken(s.ctx, id, time.Now().Add(-24*time.Hour)))
	s.ok(s.db.RevokeToken(s.ctx, "another", time.Now().Add(time.Hour)))
	s.same(revoked(id), true)
	s.same(revoked("unknown"), false)

	use := func(id string) bool {
		s.Helper()
		first, err := s.db.UseToken(s.ctx, id, time.Now().Add(time.Hour))
		s.ok(err)
		return first
	}
	s.same([]bool{use("link"), use("link"), use(id), revoked("link")}, []bool{true, false, false, true})

	s.ok(s.db.RevokeToken(s.ctx, "old", time.Now().Add(-24*time.Hour)))
	s.ok(s.db.RevokeToken(s.ctx, "new", time.Now().Add(time.Hour)))
	s.same(revoked("old"), false) // it proves nothing any more, so it is forgotten
}

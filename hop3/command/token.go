package command

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
)

func tokenCommands() []Command {
	user := Flag{Name: "user", Value: "USERNAME", Help: "whose; yours if not said"}
	return []Command{
		{Name: "token create", Summary: "Make a token for a program, with a name", Usage: "NAME", Who: Account, Min: 1, Max: 1, Run: tokenCreate, Flags: []Flag{
			{Name: "scope", Value: "SCOPE", Help: "read, deploy (if not said), admin, and app:NAME for one app only; may be repeated"},
			{Name: "expires", Value: "TIME", Help: "how long it is good: 12h, 90d (if not said), 1y"},
			user,
		}},
		{Name: "token list", Aliases: []string{"tokens"}, Summary: "List the tokens that were made", Who: Account, Run: tokenList, Flags: []Flag{user}},
		{Name: "token show", Summary: "Show what a token is good for", Usage: "NAME", Who: Account, Min: 1, Max: 1, Run: tokenShow, Flags: []Flag{user}},
		{Name: "token revoke", Summary: "End a token at once", Usage: "NAME", Who: Account, Min: 1, Max: 1, Run: tokenRevoke, Flags: []Flag{user}},
	}
}

func (c *Call) owner() string { return firstOf(c.Value("user"), c.User.Username) }

func tokenCreate(ctx context.Context, c *Call) ([]api.Item, error) {
	var words []string
	for _, value := range c.flags["scope"] {
		words = append(words, strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	scope, err := hop3.ParseScope(words)
	if err != nil {
		return nil, err
	}
	lifetime, err := parseLifetime(c.Value("expires"))
	if err != nil {
		return nil, err
	}
	t, text, err := c.Platform.CreateToken(ctx, c.Actor(), c.owner(), c.Args[0], scope, lifetime)
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("%s", text),
		api.Text("The token '%s' is shown this once. Its scope is %s, and it is good until %s.", t.Name, strings.Join(t.Scope.Words(), " "), stamp(t.Expires)),
		api.Summary("created the token %s.", t.Name),
	}, nil
}

var lifetimes = regexp.MustCompile(`^([0-9]{1,5})([hdwy])$`)

// parseLifetime reads how long a token is good; 0 when nothing is said.
func parseLifetime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	m := lifetimes.FindStringSubmatch(text)
	if m == nil {
		return 0, hop3.Errorf(hop3.CodeInvalid, "--expires wants how long the token is good, not %.40q", text).
			WithHint("For example 12h, 90d, 8w or 1y.")
	}
	n, _ := strconv.Atoi(m[1]) // it has at most 5 digits
	unit := map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour}[m[2]]
	if n == 0 {
		return 0, hop3.Errorf(hop3.CodeInvalid, "a token that is good for %s is good for nothing", text)
	}
	return time.Duration(n) * unit, nil
}

func tokenList(ctx context.Context, c *Call) ([]api.Item, error) {
	tokens, err := c.Platform.APITokens(ctx, c.Actor(), c.owner())
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return []api.Item{api.Text("'%s' has no tokens. 'hop3 token create NAME' makes one.", c.owner())}, nil
	}
	table := api.Table([]string{"Name", "Scope", "Created", "Expires", "Last used"})
	for _, t := range tokens {
		table.Rows = append(table.Rows, tokenRow(t))
	}
	return []api.Item{table}, nil
}

// tokenRow is what a list says of a token.
func tokenRow(t hop3.APIToken) []any {
	expires, used := stamp(t.Expires), "never"
	if time.Now().After(t.Expires) {
		expires = "expired"
	}
	if !t.LastUsed.IsZero() {
		used = stamp(t.LastUsed)
	}
	return []any{t.Name, strings.Join(t.Scope.Words(), " "), stamp(t.CreatedAt), expires, used}
}

func tokenShow(ctx context.Context, c *Call) ([]api.Item, error) {
	tokens, err := c.Platform.APITokens(ctx, c.Actor(), c.owner())
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		if t.Name != c.Args[0] {
			continue
		}
		row := tokenRow(t)
		table := api.Table([]string{"Property", "Value"})
		for i, name := range []string{"Name", "Scope", "Created", "Expires", "Last used"} {
			table.Rows = append(table.Rows, []any{name, row[i]})
		}
		return []api.Item{table}, nil
	}
	return nil, hop3.Errorf(hop3.CodeNotFound, "There is no token '%.80s'.", c.Args[0])
}

func tokenRevoke(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.RevokeToken(ctx, c.Actor(), c.owner(), c.Args[0]); err != nil {
		return nil, err
	}
	return []api.Item{api.Text("The token '%s' is revoked.", c.Args[0]), api.Summary("revoked the token %s.", c.Args[0])}, nil
}

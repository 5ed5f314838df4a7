package addons

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// pgExtensions are those that apps may have.
var pgExtensions = []string{
	"bloom", "btree_gin", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "hstore", "intarray", "ip4r", "ltree",
	"pg_stat_statements", "pg_trgm", "pgcrypto", "postgis", "tablefunc", "unaccent", "uuid-ossp", "vector",
}

// pgExtensionsNever lead out of the database: to files, to other servers, or to
// programs. No setting allows them.
var pgExtensionsNever = []string{"adminpack", "dblink", "file_fdw", "plperlu", "plpython2u", "plpython3u", "pltclu", "postgres_fdw"}

var pgExtensionName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// extensions returns the extensions that an addon is asked for with.
func (p *Postgres) extensions(a hop3.Addon) ([]string, error) {
	for option := range a.Options {
		if option != "extensions" {
			return nil, hop3.Errorf(hop3.CodeInvalid, "postgres has no option %.80q", option).WithHint("It has: extensions.")
		}
	}
	var names []string
	for _, name := range a.Options["extensions"] {
		allowed, err := p.extension(name)
		if err != nil {
			return nil, err
		}
		names = append(names, allowed)
	}
	return names, nil
}

// extension returns the name of an extension that apps may have.
func (p *Postgres) extension(name string) (string, error) {
	name = strings.ToLower(name)
	if name == "pgvector" {
		name = "vector" // the project's name, and the extension's
	}
	may := p.extensionsAllowed()
	if slices.Contains(may, name) {
		return name, nil
	}
	if slices.Contains(pgExtensionsNever, name) {
		return "", hop3.Errorf(hop3.CodeInvalid, "apps may not have PostgreSQL's extension %s, which leads out of the database", name)
	}
	return "", hop3.Errorf(hop3.CodeInvalid, "apps may not have PostgreSQL's extension %.80q", name).
		WithHint("They may have: %s. The server's admin can allow more in HOP3_EXTRA_PG_EXTENSIONS.", strings.Join(may, ", "))
}

func (p *Postgres) extensionsAllowed() []string {
	may := slices.Clone(pgExtensions)
	for name := range strings.SplitSeq(p.server.Setting("HOP3_EXTRA_PG_EXTENSIONS"), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if pgExtensionName.MatchString(name) && !slices.Contains(pgExtensionsNever, name) {
			may = append(may, name)
		}
	}
	slices.Sort(may)
	return slices.Compact(may)
}

// available reports extensions that are not installed on the server.
func (c *pgConn) available(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	missing, err := c.names(ctx, `SELECT n FROM unnest($1::text[]) n WHERE n NOT IN (SELECT name FROM pg_available_extensions) ORDER BY n`, names)
	if err != nil {
		return c.failure(ctx, "be asked for its extensions", err)
	}
	if len(missing) > 0 {
		return pgNotInstalled(missing...)
	}
	return nil
}

func pgNotInstalled(extensions ...string) error {
	return hop3.Errorf(hop3.CodeUnavailable, "the extension %s is not installed beside PostgreSQL", strings.Join(extensions, ", ")).
		WithHint("On Debian and Ubuntu: apt install postgresql-contrib, or the package of the extension, such as postgresql-15-pgvector.")
}

// createExtension makes an extension that apps may have, in a schema or, when
// that is "", where the extension wants to be, which is public for most.
func (c *pgConn) createExtension(ctx context.Context, name, schema string) error {
	in := ""
	if schema != "" {
		in = " SCHEMA " + pgQuote(schema)
	}
	_, err := c.Exec(ctx, "SET search_path = public")
	if err == nil {
		_, err = c.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS "+pgQuote(name)+in+" CASCADE")
	}
	switch pgCode(err) {
	case "58P01", "0A000", "22023":
		return pgNotInstalled(name)
	}
	if err == nil {
		_, err = c.Exec(ctx, "SET search_path = pg_catalog")
	}
	if err != nil {
		return c.failure(ctx, "make the extension "+name, err)
	}
	return nil
}

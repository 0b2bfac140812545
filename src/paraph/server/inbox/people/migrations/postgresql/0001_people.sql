-- People who let themselves be listed among their friends' friends. Whoever is not here is not listed.
CREATE TABLE people_listed (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

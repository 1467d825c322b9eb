-- A reader may take a correction back: negative, positive and again negative for the same finding are three statements, and the last one
-- counts. How often the same label was stated before keeps two deliveries of one statement from becoming two rows; rows from before are
-- each the first of their label. The constraint keeps its name: an older service names it and goes on as before.
ALTER TABLE labels ADD COLUMN restated integer NOT NULL DEFAULT 0 CHECK (restated >= 0);
ALTER TABLE labels DROP CONSTRAINT label_once;
ALTER TABLE labels ADD CONSTRAINT label_once UNIQUE (prediction_id, source, labelled_at, label, restated);

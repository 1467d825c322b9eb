-- A third verdict, `refer`: the model does not apply to the image, and the answer names no class. The row keeps the numbers.
-- And the columns of encoding version 5.

-- NOT VALID: every row here passed a stricter rule or has none of these columns, and no prediction waits for a scan of the log.
ALTER TABLE predictions
    -- How the file says that its pixels are stored (EXIF and TIFF tag 274); width and height are of the upright image.
    ADD COLUMN orientation   smallint,
    -- What the site says of its patients, as far as it was used: neither the caller nor the file said it of this image.
    ADD COLUMN assumed       jsonb,
    -- The bundle's colour scale for `cam`, so that the heatmap can be drawn again; none where the bundle has none.
    ADD COLUMN heatmap_low   real,
    ADD COLUMN heatmap_high  real,
    ADD CONSTRAINT orientation_is_a_tag CHECK (orientation BETWEEN 1 AND 8) NOT VALID,
    ADD CONSTRAINT orientation_iff_an_image CHECK (
        (orientation IS NOT NULL) = (encoding_version >= 5 AND format IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT assumed_for_a_prediction CHECK (
        assumed IS NULL OR (outcome = 'predicted' AND jsonb_typeof(assumed) = 'object' AND assumed <> '{}')) NOT VALID,
    ADD CONSTRAINT heatmap_scale_rises CHECK (
        num_nonnulls(heatmap_low, heatmap_high) = 0
        OR (num_nonnulls(heatmap_low, heatmap_high, cam) = 3
            AND heatmap_low >= 0 AND heatmap_high > heatmap_low AND heatmap_high < 'Infinity')) NOT VALID,
    DROP CONSTRAINT predictions_decision_check,
    ADD CONSTRAINT predictions_decision_check CHECK (decision IN ('positive', 'negative', 'refer')) NOT VALID,
    DROP CONSTRAINT decision_follows_threshold,
    ADD CONSTRAINT decision_follows_threshold CHECK (
        decision = 'refer' OR (decision = 'positive') = (probability >= threshold)) NOT VALID,
    ADD CONSTRAINT refer_is_reviewed CHECK (decision <> 'refer' OR (encoding_version >= 5 AND review_required)) NOT VALID;

-- A candidate can refer an image as well, and an answer that it is compared with.
ALTER TABLE shadow_predictions
    DROP CONSTRAINT shadow_predictions_decision_check,
    ADD CONSTRAINT shadow_predictions_decision_check CHECK (decision IN ('positive', 'negative', 'refer')) NOT VALID,
    DROP CONSTRAINT shadow_predictions_answered_decision_check,
    ADD CONSTRAINT shadow_predictions_answered_decision_check
        CHECK (answered_decision IN ('positive', 'negative', 'refer')) NOT VALID,
    DROP CONSTRAINT shadow_decision_follows_threshold,
    ADD CONSTRAINT shadow_decision_follows_threshold CHECK (
        decision = 'refer' OR (decision = 'positive') = (probability >= threshold)) NOT VALID;
